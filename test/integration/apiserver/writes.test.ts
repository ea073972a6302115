import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { addServiceAccount, bindTo, configMap, configMaps, jsonPatch, merge, pod, pods, strategic } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
})
afterAll(() => api?.stop())

const list = async (path: string): Promise<string[]> =>
  (await rest('GET', path)).body.items.map((o: { metadata: { name: string } }) => o.metadata.name)

describe('create', () => {
  it('answers 201 with what the server added', async () => {
    const { code, body } = await rest('POST', configMaps, configMap('made'))
    expect(code).toBe(201)
    expect(body).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'made', namespace: 'default' }, data: { a: '1' } })
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(body.metadata.creationTimestamp).toMatch(/Z$/)
    expect(Number(body.metadata.resourceVersion)).toBeGreaterThan(0)
    expect(body.metadata.managedFields).toHaveLength(1)
    expect((await rest('GET', `${configMaps}/made`)).body).toEqual(body)
  })

  it('removes duplicate owner references, as updates and patches do, and says so', async () => {
    const owner = (uid: string, more = {}) => ({ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid, ...more })
    const both = { ownerReferences: [owner('u1'), owner('u2'), owner('u1'), owner('u1', { controller: true })] }
    const left = [owner('u1'), owner('u2'), owner('u1', { controller: true })]
    const made = await rest('POST', configMaps, configMap('owned', {}, both))
    expect(made.body.metadata.ownerReferences).toEqual(left)
    expect(made.headers['warning']).toContain('.metadata.ownerReferences contains duplicate entries; API server dedups owner references')
    expect(made.headers['warning']).toContain('duplicate UID(s) observed: u1')
    const put = await rest('PUT', `${configMaps}/owned`, configMap('owned', {}, both))
    expect(put.body.metadata.ownerReferences).toEqual(left)
    const patched = await rest('PATCH', `${configMaps}/owned`, { metadata: both }, merge)
    expect(patched.body.metadata.ownerReferences).toEqual(left)
    expect(patched.headers['warning']).toContain('duplicate entries after mutating admission happens')
  })

  it('makes names from a prefix', async () => {
    const names = await Promise.all(
      [1, 2, 3].map(async () => (await rest('POST', configMaps, { metadata: { generateName: 'gen-' } })).body.metadata.name),
    )
    for (const name of names) expect(name).toMatch(/^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
    expect(new Set(names).size).toBe(3)
  })

  it('refuses a name that is taken, a namespace that is not there and a version', async () => {
    await rest('POST', configMaps, configMap('taken'))
    expect((await rest('POST', configMaps, configMap('taken'))).body).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
      message: 'configmaps "taken" already exists',
    })
    expect((await rest('POST', '/api/v1/namespaces/nowhere/configmaps', configMap('a'))).body).toMatchObject({
      code: 404,
      message: 'namespaces "nowhere" not found',
    })
    expect((await rest('POST', configMaps, configMap('versioned', {}, { resourceVersion: '5' }))).body).toMatchObject({
      code: 500,
      message: 'resourceVersion should not be set on objects to be created',
    })
  })

  it('of one name by many at once succeeds once', async () => {
    const codes = await Promise.all(Array.from({ length: 20 }, async () => (await rest('POST', configMaps, configMap('race'))).code))
    expect(codes.filter(c => c === 201)).toHaveLength(1)
    expect(codes.filter(c => c === 409)).toHaveLength(19)
  })

  it('with dryRun goes through everything and writes nothing', async () => {
    expect((await rest('POST', `${configMaps}?dryRun=All`, configMap('dry'))).code).toBe(201)
    expect((await rest('GET', `${configMaps}/dry`)).code).toBe(404)
    expect((await rest('POST', `${configMaps}?dryRun=All`, configMap('Bad_Name'))).code).toBe(422)
  })

  it('labels a namespace with its name', async () => {
    const { body } = await rest('POST', '/api/v1/namespaces', { metadata: { generateName: 'ns-' } })
    expect(body.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': body.metadata.name })
    expect(body).toMatchObject({ spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } })
  })
})

describe('update', () => {
  it('replaces, with the right version or with none', async () => {
    const { body } = await rest('POST', configMaps, configMap('put'))
    const second = await rest('PUT', `${configMaps}/put`, { ...body, data: { b: '2' } })
    expect(second.body.data).toEqual({ b: '2' })
    expect(second.body.metadata.uid).toBe(body.metadata.uid)
    expect((await rest('PUT', `${configMaps}/put`, body)).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message:
        'Operation cannot be fulfilled on configmaps "put": the object has been modified; please apply your changes to the latest version and try again',
    })
    expect((await rest('PUT', `${configMaps}/put`, configMap('put', { c: '3' }))).body.data).toEqual({ c: '3' })
  })

  it('that changes nothing keeps the version', async () => {
    const { body } = await rest('POST', configMaps, configMap('same'))
    const again = await rest('PUT', `${configMaps}/same`, body)
    expect(again.code).toBe(200)
    expect(again.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion)
  })

  it('checks names, existence and uid', async () => {
    await rest('POST', configMaps, configMap('named'))
    expect((await rest('PUT', `${configMaps}/named`, configMap('other'))).body.message).toBe(
      'the name of the object (other) does not match the name on the URL (named)',
    )
    expect((await rest('PUT', `${configMaps}/absent`, configMap('absent'))).code).toBe(404)
    expect((await rest('PUT', `${configMaps}/named`, configMap('named', {}, { uid: 'x' }))).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
    })
  })

  it('creates where the kind allows it', async () => {
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/fresh'
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'fresh' }, spec: { holderIdentity: 'me' } }
    const { code, body } = await rest('PUT', path, lease)
    expect(code).toBe(201)
    expect((await rest('PUT', path, { ...body, spec: { holderIdentity: 'you' } })).code).toBe(200)
    expect((await rest('PUT', path, lease)).body).toMatchObject({
      code: 422,
      message: 'leases.coordination.k8s.io "fresh" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    })
  })

  it('keeps status and spec apart and counts generations', async () => {
    const path = '/apis/apps/v1/namespaces/default/deployments'
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
    const { body } = await rest('POST', path, {
      metadata: { name: 'd' },
      spec: { selector: { matchLabels: { a: 'b' } }, template },
      status: { replicas: 9 },
    })
    expect(body).toMatchObject({ metadata: { generation: 1 }, status: {} })
    const spec = await rest('PATCH', `${path}/d`, { spec: { replicas: 4 }, status: { replicas: 7 } }, merge)
    expect(spec.body).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 4 }, status: {} })
    const status = await rest('PATCH', `${path}/d/status`, { spec: { replicas: 5 }, status: { replicas: 7 } }, merge)
    expect(status.body).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 4 }, status: { replicas: 7 } })
    expect((await rest('GET', `${path}/d/scale`)).body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 4 },
      status: { replicas: 7, selector: 'a=b' },
    })
    const asTable = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }
    const { columnDefinitions, rows } = (await rest('GET', `${path}/d/scale`, undefined, asTable)).body
    expect([columnDefinitions.map((c: { name: string }) => c.name), rows[0].cells.slice(0, 3)]).toEqual([
      ['Name', 'Desired', 'Available', 'Age'],
      ['d', 4, 7],
    ])
    expect((await rest('PATCH', `${path}/d/scale`, { spec: { replicas: 2 } }, merge)).body.spec).toEqual({ replicas: 2 })
    expect((await rest('GET', `${path}/d`)).body).toMatchObject({ metadata: { generation: 3 }, spec: { replicas: 2 } })
  })
})

describe('patch', () => {
  it('json, merge and strategic', async () => {
    await rest('POST', configMaps, configMap('patched', { a: '1', b: '2' }))
    expect((await rest('PATCH', `${configMaps}/patched`, { data: { a: null, c: '3' } }, merge)).body.data).toEqual({ b: '2', c: '3' })
    expect((await rest('PATCH', `${configMaps}/patched`, [{ op: 'replace', path: '/data/b', value: '9' }], jsonPatch)).body.data).toEqual({
      b: '9',
      c: '3',
    })
    await rest('POST', pods, pod('patched'))
    const added = await rest('PATCH', `${pods}/patched`, { spec: { containers: [{ name: 'c', image: 'busybox' }] } }, strategic)
    expect(added.body.spec.containers[0]).toMatchObject({ name: 'c', image: 'busybox', terminationMessagePath: '/dev/termination-log' })
  })

  it('by many at once loses none', async () => {
    await rest('POST', configMaps, configMap('busy', {}))
    const codes = await Promise.all(
      Array.from({ length: 25 }, async (_, i) => (await rest('PATCH', `${configMaps}/busy`, { data: { [`k${i}`]: 'x' } }, merge)).code),
    )
    expect(codes.every(c => c === 200)).toBe(true)
    expect(Object.keys((await rest('GET', `${configMaps}/busy`)).body.data)).toHaveLength(25)
  })

  it('with a version is refused when the object has moved on', async () => {
    const { body } = await rest('POST', configMaps, configMap('guarded'))
    await rest('PATCH', `${configMaps}/guarded`, { data: { x: '1' } }, merge)
    expect(
      (
        await rest(
          'PATCH',
          `${configMaps}/guarded`,
          { metadata: { resourceVersion: body.metadata.resourceVersion }, data: { x: '2' } },
          merge,
        )
      ).body,
    ).toMatchObject({ code: 409, reason: 'Conflict' })
  })

  it('that fails a test, names nothing or has another type is refused', async () => {
    await rest('POST', configMaps, configMap('tested'))
    expect((await rest('PATCH', `${configMaps}/tested`, [{ op: 'test', path: '/data/a', value: '2' }], jsonPatch)).body).toMatchObject({
      code: 422,
      reason: 'Invalid',
    })
    expect((await rest('PATCH', `${configMaps}/nothing`, {}, merge)).code).toBe(404)
    expect((await rest('PATCH', `${configMaps}/tested`, {}, { headers: { 'content-type': 'application/x-patch' } })).body).toMatchObject({
      code: 415,
      reason: 'UnsupportedMediaType',
    })
  })
})

describe('delete', () => {
  it('removes, and says what', async () => {
    const { body } = await rest('POST', configMaps, configMap('gone'))
    expect((await rest('DELETE', `${configMaps}/gone`)).body).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'gone', kind: 'configmaps', uid: body.metadata.uid },
    })
    expect((await rest('DELETE', `${configMaps}/gone`)).code).toBe(404)
    expect((await rest('POST', configMaps, configMap('gone'))).code).toBe(201)
  })

  it('heeds preconditions and dryRun', async () => {
    const { body } = await rest('POST', configMaps, configMap('kept'))
    expect((await rest('DELETE', `${configMaps}/kept`, { preconditions: { uid: 'x' } })).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
    })
    expect((await rest('DELETE', `${configMaps}/kept`, { preconditions: { resourceVersion: '1' } })).code).toBe(409)
    expect((await rest('DELETE', `${configMaps}/kept?dryRun=All`)).code).toBe(200)
    expect(
      (
        await rest('DELETE', `${configMaps}/kept`, {
          preconditions: { uid: body.metadata.uid, resourceVersion: body.metadata.resourceVersion },
        })
      ).code,
    ).toBe(200)
  })

  it('waits for finalizers', async () => {
    await rest('POST', configMaps, configMap('final', {}, { finalizers: ['example.com/x'] }))
    const marked = await rest('DELETE', `${configMaps}/final`)
    expect(marked.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 0, finalizers: ['example.com/x'] })
    const version = marked.body.metadata.resourceVersion
    expect((await rest('DELETE', `${configMaps}/final`)).body.metadata.resourceVersion).toBe(version)
    expect((await rest('PATCH', `${configMaps}/final`, { metadata: { finalizers: ['example.com/x', 'example.com/y'] } }, merge)).code).toBe(
      422,
    )
    await rest('PATCH', `${configMaps}/final`, { metadata: { finalizers: null } }, merge)
    expect((await rest('GET', `${configMaps}/final`)).code).toBe(404)
  })

  it('turns the propagation policy into a finalizer', async () => {
    for (const [policy, finalizer] of [
      ['Foreground', 'foregroundDeletion'],
      ['Orphan', 'orphan'],
    ] as const) {
      await rest('POST', configMaps, configMap('owner'))
      const answer = await rest('DELETE', `${configMaps}/owner`, { propagationPolicy: policy })
      expect(answer.body.metadata.finalizers).toEqual([finalizer])
      await rest('PATCH', `${configMaps}/owner`, { metadata: { finalizers: [] } }, merge)
    }
    expect((await rest('DELETE', `${configMaps}/x`, { propagationPolicy: 'Sometimes' })).body).toMatchObject({
      code: 422,
      reason: 'Invalid',
    })
  })

  it('of a collection takes what is selected', async () => {
    for (const [name, app] of [
      ['c1', 'x'],
      ['c2', 'x'],
      ['c3', 'y'],
    ] as const)
      await rest('POST', configMaps, configMap(name, {}, { labels: { app } }))
    const { body } = await rest('DELETE', `${configMaps}?labelSelector=app%3Dx`)
    expect(body.items.map((o: { metadata: { name: string } }) => o.metadata.name).sort()).toEqual(['c1', 'c2'])
    expect(await list(`${configMaps}?labelSelector=app`)).toEqual(['c3'])
  })

  it('of a namespace goes in steps', async () => {
    await rest('POST', '/api/v1/namespaces', { metadata: { name: 'doomed' } })
    expect((await rest('DELETE', '/api/v1/namespaces/doomed')).body).toMatchObject({ kind: 'Namespace', status: { phase: 'Terminating' } })
    expect((await rest('POST', '/api/v1/namespaces/doomed/configmaps', configMap('late'))).body).toMatchObject({
      code: 403,
      message: 'configmaps "late" is forbidden: unable to create new content in namespace doomed because it is being terminated',
      details: { causes: [{ reason: 'NamespaceTerminating' }] },
    })
    const { body } = await rest('GET', '/api/v1/namespaces/doomed')
    expect((await rest('PUT', '/api/v1/namespaces/doomed/finalize', { ...body, spec: {} })).code).toBe(200)
    expect((await rest('GET', '/api/v1/namespaces/doomed')).code).toBe(404)
    expect((await rest('DELETE', '/api/v1/namespaces/kube-system')).body.message).toBe(
      'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    )
  })
})

describe('pods', () => {
  it('that wait for a node go at once', async () => {
    await rest('POST', pods, pod('unbound'))
    expect((await rest('DELETE', `${pods}/unbound`)).body).toMatchObject({ kind: 'Pod', metadata: { deletionGracePeriodSeconds: 0 } })
    expect((await rest('GET', `${pods}/unbound`)).code).toBe(404)
  })

  it('on a node are finished by the kubelet', async () => {
    await rest('POST', pods, pod('bound'))
    expect((await bindTo(rest, 'bound', 'n1')).body).toMatchObject({ status: 'Success', code: 201 })
    // Binding is no change of the desired state.
    expect((await rest('GET', `${pods}/bound`)).body.metadata.generation).toBe(1)
    expect((await bindTo(rest, 'bound', 'n2')).body).toMatchObject({
      code: 409,
      message: 'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"',
    })
    const first = await rest('DELETE', `${pods}/bound`)
    expect(first.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 30 })
    expect((await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 60 })).body.metadata.deletionGracePeriodSeconds).toBe(30)
    expect((await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 5 })).body.metadata.deletionGracePeriodSeconds).toBe(5)
    expect((await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 0 })).code).toBe(200)
    expect((await rest('GET', `${pods}/bound`)).code).toBe(404)
  })

  it('get account, token volume, tolerations and priority', async () => {
    const { body } = await rest('POST', pods, pod('complete'))
    expect(body.spec).toMatchObject({
      serviceAccountName: 'default',
      serviceAccount: 'default',
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
      enableServiceLinks: true,
    })
    expect(body.spec.tolerations).toEqual(
      ['not-ready', 'unreachable'].map(what => ({
        key: `node.kubernetes.io/${what}`,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: 300,
      })),
    )
    expect(body.spec.volumes[0].name).toMatch(/^kube-api-access-.{5}$/)
    expect(body.spec.containers[0].volumeMounts).toEqual([
      { name: body.spec.volumes[0].name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ])
    expect((await rest('POST', pods, pod('foreign', { serviceAccountName: 'nobody' }))).body).toMatchObject({
      code: 403,
      message: 'pods "foreign" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found',
    })
  })

  it('wait for the account that each namespace gets', async () => {
    const namespace = '/api/v1/namespaces/young'
    await rest('POST', '/api/v1/namespaces', { metadata: { name: 'young' } })
    const created = rest('POST', `${namespace}/pods`, pod('early'))
    expect((await rest('POST', `${namespace}/serviceaccounts`, { metadata: { name: 'default' } })).code).toBe(201)
    expect((await created).body).toMatchObject({ kind: 'Pod', spec: { serviceAccountName: 'default' } })
  })

  it('can be evicted', async () => {
    await rest('POST', pods, pod('evicted'))
    expect(
      (await rest('POST', `${pods}/evicted/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evicted' } })).body,
    ).toMatchObject({ code: 201, status: 'Success' })
    expect((await rest('GET', `${pods}/evicted`)).code).toBe(404)
  })
})
