/** Admission plugins that look up classes, guard storage that is in use, or are on only when somebody asks for them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

const namespaced = '/api/v1/namespaces/default'
const pod = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { containers: [{ name: 'c', image: 'nginx:1' }], ...spec } })
const claim = (name: string, spec: object = {}) => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
})
const merge = { headers: { 'content-type': 'application/merge-patch+json' } }

async function serve(plugins: { enableAdmissionPlugins?: string[] } = {}): Promise<ApiServerFixture> {
  const api = await startTestApiServer({ disableAdmissionPlugins: ['ServiceAccount'], ...plugins })
  return api
}

describe('as the server starts', () => {
  let api: ApiServerFixture
  beforeAll(async () => {
    api = await serve()
  })
  afterAll(() => api?.stop())
  const create = async (path: string, object: object) => {
    const answer = await api.rest('POST', path, object)
    expect(answer.code, answer.text).toBe(201)
    return answer.body
  }

  test('devices of others are looked at from namespaces that are labelled so', async () => {
    const { rest } = api
    const devices = {
      requests: [
        { name: 'a', exactly: { deviceClassName: 'c' } },
        { name: 'gpu', exactly: { deviceClassName: 'c', adminAccess: true } },
      ],
    }
    const dra = '/apis/resource.k8s.io/v1/namespaces/default'
    const make = async (name: string) => [
      await rest('POST', `${dra}/resourceclaims`, { metadata: { name }, spec: { devices } }),
      await rest('POST', `${dra}/resourceclaimtemplates`, { metadata: { name }, spec: { spec: { devices } } }),
    ]
    const why =
      'spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace'
    expect((await make('no')).map(a => a.body.message)).toEqual([
      `ResourceClaim.resource.k8s.io "no" is invalid: ${why}`,
      `ResourceClaimTemplate.resource.k8s.io "no" is invalid: ${why}`,
    ])
    // Nor may an allocation say so.
    await create(`${dra}/resourceclaims`, { metadata: { name: 'plain' }, spec: { devices: { requests: [devices.requests[0]] } } })
    const results = [{ request: 'a', driver: 'd.example.com', pool: 'p', device: 'x', adminAccess: true }]
    const allocate = () => rest('PATCH', `${dra}/resourceclaims/plain/status`, { status: { allocation: { devices: { results } } } }, merge)
    expect((await allocate()).body.message).toContain('status.allocation.devices.results[0].adminAccess: Forbidden')
    const label = (value: string | null) =>
      rest('PATCH', '/api/v1/namespaces/default', { metadata: { labels: { 'resource.kubernetes.io/admin-access': value } } }, merge)
    await label('true')
    expect((await make('yes')).map(a => a.code)).toEqual([201, 201])
    expect((await allocate()).code).toBe(200)
    // What was granted stays.
    await label(null)
    expect((await rest('PATCH', `${dra}/resourceclaims/yes`, { metadata: { labels: { a: 'b' } } }, merge)).code).toBe(200)
    expect((await rest('PATCH', `${dra}/resourceclaims/plain/status`, { metadata: { labels: { a: 'b' } } }, merge)).code).toBe(200)
  })

  test('a claim without a class gets the newest default one', async () => {
    const { rest } = api
    const classes = '/apis/storage.k8s.io/v1/storageclasses'
    const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' }
    const claims = `${namespaced}/persistentvolumeclaims`
    expect((await create(claims, claim('none'))).spec).not.toHaveProperty('storageClassName')
    await create(classes, { metadata: { name: 'plain' }, provisioner: 'example.com/a' })
    await create(classes, { metadata: { name: 'first', annotations }, provisioner: 'example.com/a', allowVolumeExpansion: true })
    const made = await create(claims, claim('one'))
    expect(made).toMatchObject({ spec: { storageClassName: 'first' }, metadata: { finalizers: ['kubernetes.io/pvc-protection'] } })
    expect((await create(claims, claim('empty', { storageClassName: '' }))).spec.storageClassName).toBe('')
    // The class may be named later, once.
    const named = await rest('PATCH', `${claims}/none`, { spec: { storageClassName: 'plain' } }, merge)
    expect(named.code, named.text).toBe(200)
    expect((await rest('PATCH', `${claims}/none`, { spec: { storageClassName: 'first' } }, merge)).code).toBe(422)
    // It grows when it is bound and the class lets it.
    const grow = (name: string) => rest('PATCH', `${claims}/${name}`, { spec: { resources: { requests: { storage: '2Gi' } } } }, merge)
    expect((await grow('one')).body.message).toContain('spec is immutable after creation')
    for (const name of ['one', 'none']) {
      const status = { phase: 'Bound', capacity: { storage: '1Gi' } }
      expect((await rest('PATCH', `${claims}/${name}/status`, { status }, merge)).code).toBe(200)
    }
    expect((await grow('one')).body.spec.resources.requests.storage).toBe('2Gi')
    expect((await grow('none')).body).toMatchObject({ code: 403, message: expect.stringContaining('must support resize') })
    const table = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }
    expect((await rest('GET', `${classes}/first`, undefined, table)).body.rows[0].cells.slice(0, 5)).toEqual([
      'first (default)',
      'example.com/a',
      'Delete',
      'Immediate',
      true,
    ])
  })

  test('an ingress without a class gets the default one', async () => {
    const ingresses = '/apis/networking.k8s.io/v1/namespaces/default/ingresses'
    const spec = { defaultBackend: { service: { name: 's', port: { number: 80 } } } }
    const annotations = { 'ingressclass.kubernetes.io/is-default-class': 'true' }
    await create('/apis/networking.k8s.io/v1/ingressclasses', { metadata: { name: 'ic', annotations }, spec: { controller: 'a.b/c' } })
    expect((await create(ingresses, { metadata: { name: 'a' }, spec })).spec.ingressClassName).toBe('ic')
    const old = { metadata: { name: 'b', annotations: { 'kubernetes.io/ingress.class': 'x' } }, spec }
    const answer = await api.rest('POST', ingresses, old)
    expect(answer.body.spec).not.toHaveProperty('ingressClassName')
    expect(answer.headers['warning']).toContain('is deprecated, please use')
    const both = { ...old, metadata: { ...old.metadata, name: 'c' }, spec: { ...spec, ingressClassName: 'y' } }
    expect((await api.rest('POST', ingresses, both)).body.details.causes).toEqual([
      {
        field: 'annotations.kubernetes.io/ingress.class',
        reason: 'FieldValueInvalid',
        message: 'Invalid value: "x": must match `ingressClassName` when both are specified',
      },
    ])
  })

  test('a pod has the overhead and goes where its runtime class says', async () => {
    const { rest } = api
    const pods = `${namespaced}/pods`
    const refused = async (object: object) => (await rest('POST', pods, object)).body
    expect(await refused(pod('p', { runtimeClassName: 'kata' }))).toMatchObject({
      code: 403,
      message: 'pods "p" is forbidden: pod rejected: RuntimeClass "kata" not found',
    })
    expect((await refused(pod('p', { overhead: { cpu: '1' } }))).message).toContain(
      'set without corresponding RuntimeClass defined Overhead',
    )
    const tolerations = [{ key: 'vm', operator: 'Exists', effect: 'NoSchedule' }]
    await create('/apis/node.k8s.io/v1/runtimeclasses', {
      metadata: { name: 'kata' },
      handler: 'kata',
      overhead: { podFixed: { cpu: '250m' } },
      scheduling: { nodeSelector: { vm: 'yes' }, tolerations },
    })
    const own = [{ key: 'vm', operator: 'Equal', value: '1', effect: 'NoSchedule' }]
    const { spec } = await create(pods, pod('p', { runtimeClassName: 'kata', nodeSelector: { a: 'b' }, tolerations: own }))
    expect(spec).toMatchObject({ overhead: { cpu: '250m' }, nodeSelector: { a: 'b', vm: 'yes' } })
    expect(spec.tolerations.filter((t: { key: string }) => t.key === 'vm')).toEqual(tolerations)
    expect((await refused(pod('q', { runtimeClassName: 'kata', nodeSelector: { vm: 'no' } }))).message).toContain(
      'conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no',
    )
    expect((await refused(pod('q', { runtimeClassName: 'kata', overhead: { cpu: '1' } }))).message).toContain("doesn't match")
  })
})

describe('when asked for', () => {
  test('images are pulled, devices tolerated, external addresses refused', async () => {
    const api = await serve({ enableAdmissionPlugins: ['AlwaysPullImages', 'ExtendedResourceToleration', 'DenyServiceExternalIPs'] })
    try {
      const { rest } = api
      const resources = { limits: { 'example.com/gpu': '1', cpu: '1' } }
      const spec = { containers: [{ name: 'c', image: 'nginx:1', imagePullPolicy: 'Never', resources }] }
      const made = (await rest('POST', `${namespaced}/pods`, pod('p', spec))).body
      expect(made.spec.containers[0].imagePullPolicy).toBe('Always')
      expect(made.spec.tolerations).toContainEqual({ key: 'example.com/gpu', operator: 'Exists' })
      expect(made.spec.tolerations.map((t: { key: string }) => t.key)).not.toContain('cpu')
      const service = (externalIPs: string[]) => ({ metadata: { name: 's' }, spec: { ports: [{ port: 80 }], externalIPs } })
      expect((await rest('POST', `${namespaced}/services`, service(['1.2.3.4']))).body).toMatchObject({
        code: 403,
        message: 'services "s" is forbidden: Use of external IPs is denied by admission control',
      })
      expect((await rest('POST', `${namespaced}/services`, service([]))).code).toBe(201)
    } finally {
      await api.stop()
    }
  })
  test('only plugins that there are', async () => {
    await expect(serve({ enableAdmissionPlugins: ['Nope'] })).rejects.toThrow('enable-admission-plugins plugin "Nope" is unknown')
    await expect(serve({ enableAdmissionPlugins: ['ServiceAccount'] })).rejects.toThrow('overlapped')
  })
})
