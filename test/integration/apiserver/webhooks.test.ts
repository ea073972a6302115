/** Admission webhooks that answer: what they are asked, and what comes of it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { accept, allowed, denied, hookOf, patched, startWebhook, type WebhookServer } from '../../fixtures/webhook.ts'
import { addServiceAccount, bindTo, configMap, configMaps, merge, pod, pods } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let hook: WebhookServer
const configurations = '/apis/admissionregistration.k8s.io/v1'
beforeAll(async () => {
  ;[api, hook] = await Promise.all([startTestApiServer(), startWebhook()])
  rest = api.rest
  await addServiceAccount(rest)
})
afterAll(async () => {
  await Promise.all([api?.stop(), hook?.stop()])
})
beforeEach(() => {
  hook.answer = accept
  hook.asked.length = 0
})
afterEach(async () => {
  for (const plural of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'])
    await rest('DELETE', `${configurations}/${plural}`)
  await rest('DELETE', configMaps)
})

type Kind = 'Mutating' | 'Validating'
async function configure(kind: Kind, name: string, ...webhooks: object[]): Promise<void> {
  const { code, body } = await rest('POST', `${configurations}/${kind.toLowerCase()}webhookconfigurations`, {
    metadata: { name },
    webhooks,
  })
  expect({ code, message: body.message }).toEqual({ code: 201, message: undefined })
}
const create = (name: string, metadata: object = {}, query = '') =>
  rest('POST', `${configMaps}${query}`, configMap(name, { a: '1' }, metadata))
const rules = (resources: string[], operations = ['*'], apiGroups = ['*'], more: object = {}) => ({
  rules: [{ operations, apiGroups, apiVersions: ['*'], resources, ...more }],
})
const requests = () => hook.asked.map(({ review }) => review.request)

describe('what is asked', () => {
  it('is at a path without empty parts', async () => {
    await configure('Validating', 'slashes', hookOf(hook, '/a//check/', { name: 'slashes.example.com' }))
    expect((await create('slashes')).code).toBe(201)
    expect(hook.asked.map(({ path }) => path)).toEqual(['/a/check?timeout=10s'])
  })

  it('is an AdmissionReview with all about the request', async () => {
    await configure('Validating', 'all', hookOf(hook, 'check'))
    const { code, body } = await create('asked', { labels: { x: 'y' } }, '?fieldManager=me')
    expect(code).toBe(201)
    expect(hook.asked).toHaveLength(1)
    const [{ path, review }] = hook.asked as [(typeof hook.asked)[0]]
    expect(path).toBe('/check?timeout=10s')
    const own = { group: '', version: 'v1' }
    const { resourceVersion: _, ...unversioned } = body.metadata
    expect(review).toEqual({
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
        kind: { ...own, kind: 'ConfigMap' },
        resource: { ...own, resource: 'configmaps' },
        requestKind: { ...own, kind: 'ConfigMap' },
        requestResource: { ...own, resource: 'configmaps' },
        name: 'asked',
        namespace: 'default',
        operation: 'CREATE',
        userInfo: {
          username: 'kubernetes-admin',
          groups: ['system:masters', 'system:authenticated'],
          extra: { 'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^X509SHA256=/)] },
        },
        object: { ...body, metadata: unversioned },
        oldObject: null,
        dryRun: false,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', fieldManager: 'me', fieldValidation: expect.anything() },
      },
    })
  })

  it('of updates, patches, deletions and collections has both objects', async () => {
    await configure('Validating', 'all', hookOf(hook, 'check', rules(['configmaps'])))
    await create('u')
    await rest('PATCH', `${configMaps}/u`, { data: { a: '2' } }, merge)
    await rest('PUT', `${configMaps}/u`, configMap('u', { a: '3' }))
    await create('v')
    await rest('DELETE', configMaps)
    const seen = requests().map(r => [r.operation, r.object?.data.a, r.oldObject?.data.a, r.options.kind])
    expect(seen.slice(0, 4)).toEqual([
      ['CREATE', '1', undefined, 'CreateOptions'],
      ['UPDATE', '2', '1', 'UpdateOptions'],
      ['UPDATE', '3', '2', 'UpdateOptions'],
      ['CREATE', '1', undefined, 'CreateOptions'],
    ])
    expect(seen.slice(4)).toHaveLength(2)
    expect(seen.slice(4)).toEqual(
      expect.arrayContaining([
        ['DELETE', undefined, '3', 'DeleteOptions'],
        ['DELETE', undefined, '1', 'DeleteOptions'],
      ]),
    )
  })

  it('of subresources says so, in their own kinds, and of connections their options', async () => {
    await configure('Validating', 'all', hookOf(hook, 'check', rules(['pods/*'])))
    await rest('POST', pods, pod('sub'))
    await bindTo(rest, 'sub', 'n')
    await rest('PATCH', `${pods}/sub/status`, { status: { phase: 'Running' } }, merge)
    await rest('GET', `${pods}/sub/exec?command=ls&command=-l&stdout=true&container=c`)
    await rest('POST', `${pods}/sub/eviction`, { kind: 'Eviction', apiVersion: 'policy/v1', metadata: { name: 'sub' } })
    expect(requests().map(r => [r.operation, r.subResource, r.requestSubResource, r.kind.kind, r.name])).toEqual([
      // As upstream has it, this rule names pods themselves too.
      ['CREATE', undefined, undefined, 'Pod', 'sub'],
      ['CREATE', 'binding', 'binding', 'Binding', 'sub'],
      ['UPDATE', 'status', 'status', 'Pod', 'sub'],
      ['CONNECT', 'exec', 'exec', 'PodExecOptions', 'sub'],
      ['CREATE', 'eviction', 'eviction', 'Eviction', 'sub'],
    ])
    expect(requests()[3].object).toMatchObject({
      kind: 'PodExecOptions',
      apiVersion: 'v1',
      stdout: true,
      container: 'c',
      command: ['ls', '-l'],
    })
    await rest('DELETE', `${pods}/sub?gracePeriodSeconds=0`)
  })

  it('goes by rules, scope and selectors', async () => {
    const only = (name: string, more: object) => hookOf(hook, name, { ...rules(['*'], ['CREATE']), ...more })
    await configure(
      'Validating',
      'all',
      only('cluster', rules(['*'], ['CREATE'], ['*'], { scope: 'Cluster' })),
      only('namespaced', rules(['*'], ['CREATE'], ['*'], { scope: 'Namespaced' })),
      only('labelled-namespace', { namespaceSelector: { matchLabels: { hooked: 'yes' } } }),
      only('labelled-object', { objectSelector: { matchExpressions: [{ key: 'pick', operator: 'Exists' }] } }),
      only('other-group', rules(['*'], ['*'], ['apps'])),
    )
    const asked = async (send: () => Promise<{ code: number }>): Promise<string[]> => {
      hook.asked.length = 0
      expect((await send()).code).toBe(201)
      return hook.asked.map(a => a.path.slice(1).split('?')[0]!).sort()
    }
    expect(await asked(() => create('plain'))).toEqual(['namespaced'])
    expect(await asked(() => create('picked', { labels: { pick: '' } }))).toEqual(['labelled-object', 'namespaced'])
    const namespace = (name: string, labels: object) => rest('POST', '/api/v1/namespaces', { metadata: { name, labels } })
    expect(await asked(() => namespace('no', {}))).toEqual(['cluster'])
    expect(requests()[0].namespace).toBe('no')
    expect(await asked(() => namespace('yes', { hooked: 'yes' }))).toEqual(['cluster', 'labelled-namespace'])
    expect(await asked(() => rest('POST', '/api/v1/namespaces/yes/configmaps', configMap('x')))).toEqual([
      'labelled-namespace',
      'namespaced',
    ])
    // What is in no namespace is not selected by one.
    const priority = { metadata: { name: 'p' }, value: 1 }
    expect(await asked(() => rest('POST', '/apis/scheduling.k8s.io/v1/priorityclasses', priority))).toEqual([
      'cluster',
      'labelled-namespace',
    ])
  })

  it('goes by match conditions', async () => {
    const conditions = (...expressions: string[]) => ({
      matchConditions: expressions.map((expression, i) => ({ name: `c${i}`, expression })),
    })
    const asked = async (name: string, query = ''): Promise<string[]> => {
      hook.asked.length = 0
      const { code, body } = await create(name, { labels: { n: name } }, query)
      return code === 201 ? hook.asked.map(a => a.path.slice(1).split('?')[0]!).sort() : [body.message]
    }
    await configure(
      'Validating',
      'all',
      hookOf(hook, 'name', conditions('object.metadata.name == "x"')),
      hookOf(hook, 'both', conditions('true', 'has(object.data) && request.operation == "CREATE" && oldObject == null')),
      hookOf(hook, 'may', conditions('authorizer.group("").resource("pods").namespace("default").check("create").allowed()')),
      hookOf(hook, 'may-not', conditions('!authorizer.requestResource.check("create").allowed()')),
      hookOf(hook, 'fails-open', { ...conditions('object.nothing == 1'), failurePolicy: 'Ignore' }),
    )
    await configure('Mutating', 'all', hookOf(hook, 'change', conditions('request.userInfo.username == "kubernetes-admin"')))
    expect(await asked('x')).toEqual(['both', 'change', 'may', 'name'])
    expect(await asked('y')).toEqual(['both', 'change', 'may'])
    await configure('Validating', 'failing', hookOf(hook, 'fails', conditions('object.nothing == 1')))
    expect(await asked('z')).toEqual([expect.stringMatching(/^configmaps "z" is forbidden: .*no such key: nothing/)])
    await rest('DELETE', `${configurations}/validatingwebhookconfigurations/failing`)
    // What says no wins over what cannot be told.
    await configure('Validating', 'failing', hookOf(hook, 'fails', conditions('object.nothing == 1', 'false')))
    expect(await asked('z')).toEqual(['both', 'change', 'may'])
    const { code, body } = await rest('POST', `${configurations}/validatingwebhookconfigurations`, {
      metadata: { name: 'wrong' },
      webhooks: [hookOf(hook, 'wrong', conditions('object.x +', '1'))],
    })
    expect(code).toBe(422)
    expect(body.details.causes.map((c: any) => c.field)).toEqual([
      // any: as Rest
      'webhooks[0].matchConditions[0].expression',
      'webhooks[0].matchConditions[1].expression',
    ])
    const lines = (await rest('GET', '/metrics')).text.split('\n').filter(line => line.includes('match_condition'))
    const text = lines.join('\n')
    expect(text).toMatch(
      /apiserver_admission_match_condition_exclusions_total\{name="name.example.com",kind="webhook",type="validating",operation="CREATE"\} 3/,
    )
    expect(text).toMatch(/apiserver_admission_match_condition_evaluation_errors_total\{name="fails-open.example.com",kind="webhook",/)
  })

  it('is never about configurations of webhooks and policies', async () => {
    hook.answer = review => denied(review)
    const everything = hookOf(hook, 'no', { ...rules(['*/*']), failurePolicy: 'Fail' })
    await configure('Validating', 'all', everything)
    await configure('Mutating', 'all', everything)
    await configure('Mutating', 'another', hookOf(hook, 'no', rules(['nothings'])))
    expect((await rest('DELETE', `${configurations}/validatingwebhookconfigurations/all`)).code).toBe(200)
    expect((await rest('DELETE', `${configurations}/mutatingwebhookconfigurations/all`)).code).toBe(200)
    expect(hook.asked).toEqual([])
  })

  it('is in the version that a rule names', async () => {
    const hpa = {
      metadata: { name: 'h' },
      spec: { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd', apiVersion: 'apps/v1' } },
    }
    const v1 = {
      rules: [{ operations: ['CREATE'], apiGroups: ['autoscaling'], apiVersions: ['v1'], resources: ['horizontalpodautoscalers'] }],
    }
    await configure('Validating', 'all', hookOf(hook, 'equivalent', v1), hookOf(hook, 'exact', { ...v1, matchPolicy: 'Exact' }))
    await configure('Mutating', 'all', hookOf(hook, 'change', v1))
    hook.answer = (review, req) =>
      req.url!.startsWith('/change')
        ? patched(review, [{ op: 'add', path: '/spec/targetCPUUtilizationPercentage', value: 7 }])
        : allowed(review)
    const { code, body } = await rest('POST', '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers', hpa)
    expect(code).toBe(201)
    expect(body.spec.metrics).toEqual([
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 7 } } },
    ])
    expect(hook.asked.map(a => a.path)).toEqual(['/change?timeout=10s', '/equivalent?timeout=10s'])
    expect(requests()[1]).toMatchObject({
      kind: { version: 'v1' },
      resource: { version: 'v1' },
      requestKind: { version: 'v2' },
      requestResource: { version: 'v2' },
      object: { apiVersion: 'autoscaling/v1', spec: { targetCPUUtilizationPercentage: 7 } },
    })
  })

  it('is a v1beta1 review for who knows no other', async () => {
    await configure('Mutating', 'old', hookOf(hook, 'old', { admissionReviewVersions: ['v1beta1'] }))
    // These need neither say the uid nor the type of the patch.
    hook.answer = () => ({ allowed: true, patch: Buffer.from('[{"op":"add","path":"/data/b","value":"2"}]').toString('base64') })
    expect((await create('old')).body.data).toEqual({ a: '1', b: '2' })
    expect(hook.asked[0]!.review.apiVersion).toBe('admission.k8s.io/v1beta1')
  })
})

describe('what comes of it', () => {
  it('changes are read, defaulted and validated', async () => {
    await configure('Mutating', 'change', hookOf(hook, 'change', rules(['pods'], ['CREATE'])))
    const add = (image: unknown) => (review: any) =>
      patched(review, [{ op: 'add', path: '/spec/containers/-', value: { name: 'added', image, nonsense: 1 } }])
    hook.answer = add('sidecar')
    const { body } = await rest('POST', pods, pod('changed'))
    // Defaults of the API and of plugins that ran before reach what the webhook added.
    expect(body.spec.containers[1]).toMatchObject({
      name: 'added',
      image: 'sidecar',
      imagePullPolicy: 'Always',
      terminationMessagePolicy: 'File',
    })
    expect(body.spec.containers[1].volumeMounts).toHaveLength(1)
    expect(body.spec.containers[1]).not.toHaveProperty('nonsense')
    hook.answer = add('')
    expect(await rest('POST', pods, pod('broken'))).toMatchObject({
      code: 422,
      body: { message: 'Pod "broken" is invalid: spec.containers[1].image: Required value' },
    })
    hook.answer = add(5)
    expect(await rest('POST', pods, pod('broken'))).toMatchObject({ code: 500, body: { reason: 'InternalError' } })
    hook.answer = review => patched(review, [{ op: 'remove', path: '/spec/nothing' }])
    const failed = await rest('POST', pods, pod('broken'))
    expect(failed).toMatchObject({
      code: 500,
      body: { message: expect.stringMatching(/^Internal error occurred: remove operation does not apply/) },
    })
    hook.answer = review => patched(review, [{ op: 'replace', path: '/metadata/namespace', value: 'kube-system' }])
    expect((await rest('POST', pods, pod('elsewhere'))).body.message).toBe(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
    hook.answer = accept
    await rest('DELETE', `${pods}/changed?gracePeriodSeconds=0`)
  })

  it('managers stay when a webhook spoils them', async () => {
    await configure('Mutating', 'change', hookOf(hook, 'change'))
    hook.answer = review => patched(review, [{ op: 'replace', path: '/metadata/managedFields/0/operation', value: 'Guess' }])
    const { headers, body } = await create('managed')
    expect(headers['warning']).toContain('.metadata.managedFields was in an invalid state after admission')
    expect(body.metadata.managedFields).toMatchObject([{ operation: 'Update' }])
  })

  it('a denial is told in the words of the webhook', async () => {
    await configure('Validating', 'no', hookOf(hook, 'no'))
    const told = async (status?: object) => {
      hook.answer = review => denied(review, status)
      const { code, body } = await create('denied')
      return { code, reason: body.reason, message: body.message }
    }
    const by = 'admission webhook "no.example.com" denied the request'
    expect(await told()).toEqual({ code: 400, reason: undefined, message: `${by} without explanation` })
    expect(await told({ message: 'never' })).toEqual({ code: 400, reason: undefined, message: `${by}: never` })
    expect(await told({ reason: 'Because' })).toEqual({ code: 400, reason: 'Because', message: `${by}: Because` })
    expect(await told({ code: 200, status: 'Success', message: 'x' })).toEqual({ code: 400, reason: undefined, message: `${by}: x` })
    expect(await told({ code: 403, reason: 'Forbidden', message: 'x' })).toEqual({ code: 403, reason: 'Forbidden', message: `${by}: x` })
    hook.answer = review => denied(review, { code: 422, message: 'x', details: { causes: [{ field: 'data', message: 'm' }] } })
    expect((await create('denied')).body.details).toEqual({ causes: [{ field: 'data', message: 'm' }] })
    expect((await rest('GET', `${configMaps}/denied`)).code).toBe(404)
  })

  it('webhooks change one after the other, by name; those that ask for it once more', async () => {
    const webhooks = (...names: string[]) =>
      names.map(name => hookOf(hook, name, { reinvocationPolicy: name.startsWith('again') ? 'IfNeeded' : 'Never' }))
    await configure('Mutating', 'b', ...webhooks('again', 'last'))
    await configure('Mutating', 'a', ...webhooks('again-and', 'once'))
    hook.answer = (review, req) => {
      const name = req.url!.slice(1).split('?')[0]!
      return patched(review, [{ op: 'replace', path: '/data/a', value: `${review.request.object.data.a} ${name}` }])
    }
    expect((await create('order')).body.data.a).toBe('1 again-and once again last again-and again')
  })

  it('webhooks that changed nothing are not asked again', async () => {
    await configure('Mutating', 'a', hookOf(hook, 'again', { reinvocationPolicy: 'IfNeeded' }))
    await create('same')
    hook.answer = review => patched(review, [{ op: 'replace', path: '/data/a', value: '1' }])
    await create('same-too')
    expect(hook.asked).toHaveLength(2)
  })

  it('warnings and names of dry runs', async () => {
    await configure('Validating', 'warn', hookOf(hook, 'warn', { sideEffects: 'NoneOnDryRun' }))
    hook.answer = review => allowed(review, { warnings: ['mind the gap'] })
    const { headers } = await create('dry', {}, '?dryRun=All')
    expect(headers['warning']).toBe('299 - "mind the gap"')
    expect(requests()[0].dryRun).toBe(true)
    expect((await rest('GET', `${configMaps}/dry`)).code).toBe(404)
  })

  it('what is made by generateName has its name before it is judged', async () => {
    await configure('Mutating', 'a', hookOf(hook, 'change'))
    await configure('Validating', 'a', hookOf(hook, 'check'))
    const { body } = await rest('POST', configMaps, { metadata: { generateName: 'gen-' } })
    expect(requests().map(r => r.name)).toEqual([undefined, body.metadata.name])
  })

  it('a webhook may name what was to be named', async () => {
    await configure('Mutating', 'a', hookOf(hook, 'change'))
    hook.answer = review => patched(review, [{ op: 'add', path: '/metadata/name', value: 'given' }])
    expect((await rest('POST', configMaps, { metadata: { generateName: 'gen-' } })).body.metadata.name).toBe('given')
  })

  it('a webhook changes no more than the request may', async () => {
    await rest('POST', pods, pod('parts'))
    await configure('Mutating', 'a', hookOf(hook, 'change', rules(['pods', 'pods/status'], ['UPDATE'])))
    hook.answer = review =>
      patched(review, [
        { op: 'add', path: '/metadata/annotations', value: { seen: 'yes' } },
        { op: 'add', path: '/spec/containers/0/image', value: 'other' },
        { op: 'add', path: '/status/message', value: 'changed' },
      ])
    const { body: whole } = await rest('PATCH', `${pods}/parts`, { metadata: { labels: { x: 'y' } } }, merge)
    expect(whole).toMatchObject({ metadata: { annotations: { seen: 'yes' } }, spec: { containers: [{ image: 'other' }] } })
    expect(whole.status).not.toHaveProperty('message')
    hook.answer = review =>
      patched(review, [
        { op: 'add', path: '/spec/containers/0/image', value: 'third' },
        { op: 'add', path: '/status/message', value: 'm' },
      ])
    const { body: status } = await rest('PATCH', `${pods}/parts/status`, { status: { reason: 'r' } }, merge)
    expect(status).toMatchObject({ spec: { containers: [{ image: 'other' }] }, status: { message: 'm', reason: 'r' } })
    await rest('DELETE', `${pods}/parts?gracePeriodSeconds=0`)
  })

  it('the options of a connection can be changed', async () => {
    await rest('POST', pods, pod('connect'))
    await configure('Mutating', 'connect', hookOf(hook, 'change', rules(['pods/exec'], ['CONNECT'])))
    hook.answer = review => patched(review, [{ op: 'replace', path: '/container', value: 'other' }])
    const { body } = await rest('GET', `${pods}/connect/exec?command=ls&stdout=true&container=c`)
    expect(body.message).toBe('container other is not valid for pod connect')
    await rest('DELETE', `${pods}/connect?gracePeriodSeconds=0`)
  })

  it('bodies of subresources can be changed', async () => {
    await configure('Mutating', 'scale', hookOf(hook, 'change', rules(['*/scale'], ['UPDATE'])))
    const deployments = '/apis/apps/v1/namespaces/default/deployments'
    const template = { metadata: { labels: { x: 'y' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
    await rest('POST', deployments, { metadata: { name: 'd' }, spec: { replicas: 1, selector: { matchLabels: { x: 'y' } }, template } })
    hook.answer = review => patched(review, [{ op: 'replace', path: '/spec/replicas', value: 2 }])
    const { body } = await rest('PATCH', `${deployments}/d/scale`, { spec: { replicas: 9 } }, merge)
    expect(body.spec.replicas).toBe(2)
    hook.answer = review => patched(review, [{ op: 'replace', path: '/spec/replicas', value: 'many' }])
    expect((await rest('PATCH', `${deployments}/d/scale`, { spec: { replicas: 3 } }, merge)).code).toBe(500)
  })
})
