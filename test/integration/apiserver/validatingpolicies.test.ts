/** ValidatingAdmissionPolicies in force on real API servers: what they refuse, warn of and note, with parameters and without. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let other: Rest
const group = '/apis/admissionregistration.k8s.io/v1'
const maps = '/api/v1/namespaces/tests/configmaps'
let dir: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-policies-'))
  await writeFile(
    join(dir, 'policy.yaml'),
    'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, omitStages: [RequestReceived]}\n',
  )
  api = await startTestApiServer({ auditPolicyFile: join(dir, 'policy.yaml'), auditLogPath: join(dir, 'audit.log') })
  rest = api.rest
  other = (await api.startAnother()).rest
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'tests', labels: { team: 'a' } } })
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'elsewhere' } })
})
afterEach(async () => {
  await rest('DELETE', `${group}/validatingadmissionpolicybindings`)
  await rest('DELETE', `${group}/validatingadmissionpolicies`)
  await rest('DELETE', maps)
})
afterAll(async () => {
  await api?.stop()
  await rm(dir, { recursive: true, force: true })
})

const onMaps = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] }],
}
const post = async (path: string, body: object): Promise<Reply> => {
  const reply = await rest('POST', path, body)
  expect(reply.code, reply.text).toBe(201)
  return reply
}
const policy = (name: string, spec: object) =>
  post(`${group}/validatingadmissionpolicies`, { metadata: { name }, spec: { matchConstraints: onMaps, ...spec } })
const bind = (policyName: string, spec: object = {}, name = policyName) =>
  post(`${group}/validatingadmissionpolicybindings`, { metadata: { name }, spec: { policyName, validationActions: ['Deny'], ...spec } })
const make = (name: string, data: object = {}, on = rest, more: object = {}) => on('POST', maps, { metadata: { name, ...more }, data })

it('refuses what breaks a rule, on every server as soon as the binding is there, and not what keeps it', async () => {
  await policy('replicas', {
    matchConstraints: {
      resourceRules: [{ apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['deployments'] }],
    },
    validations: [
      { expression: 'object.spec.replicas > 1', messageExpression: "'wants replicas > 1, got ' + string(object.spec.replicas)" },
    ],
  })
  const deployment = (name: string, replicas: number) => ({
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'nginx' }] } },
    },
  })
  const path = '/apis/apps/v1/namespaces/tests/deployments'
  expect((await rest('POST', path, deployment('before', 1))).code).toBe(201)
  await bind('replicas')
  const text = "ValidatingAdmissionPolicy 'replicas' with binding 'replicas' denied request: wants replicas > 1, got 1"
  for (const server of [other, rest]) {
    const { code, body } = await server('POST', path, deployment('one', 1))
    expect(code).toBe(422)
    expect(body).toMatchObject({ reason: 'Invalid', message: `deployments.apps "one" is forbidden: ${text}` })
    expect(body.details.causes).toContainEqual({ message: text })
  }
  expect((await rest('POST', path, deployment('two', 2))).code).toBe(201)
  expect((await rest('PATCH', `${path}/two`, { spec: { replicas: 1 } }, merge)).code).toBe(422)
  const sets = { ...deployment('set', 1), kind: 'ReplicaSet', apiVersion: 'apps/v1' }
  expect((await rest('POST', '/apis/apps/v1/namespaces/tests/replicasets', sets)).code).toBe(201)
  await rest('DELETE', `${group}/validatingadmissionpolicybindings/replicas`)
  expect((await other('POST', path, deployment('one', 1))).code).toBe(201)
})

it('says the reason of the rule with its code, the message, or the rule itself', async () => {
  await policy('words', {
    validations: [
      { expression: "!has(object.data) || !('secret' in object.data)", message: 'no secrets', reason: 'Forbidden' },
      { expression: '!has(object.data) || size(object.data) < 3' },
    ],
  })
  await bind('words')
  expect((await make('a', { secret: 'x' })).body).toMatchObject({
    code: 403,
    reason: 'Forbidden',
    message: expect.stringMatching(/: no secrets$/),
  })
  expect((await make('a', { x: '1', y: '2', z: '3' })).body).toMatchObject({
    code: 422,
    message: expect.stringMatching(/denied request: failed expression: !has\(object\.data\) \|\| size\(object\.data\) < 3$/),
  })
  expect((await make('a')).code).toBe(201)
})

it('sees the request, the old object, the namespace, variables and what the user may do', async () => {
  await policy('all', {
    variables: [
      { name: 'keys', expression: 'has(object.data) ? object.data.map(k, k) : []' },
      { name: 'many', expression: 'size(variables.keys) > 1' },
    ],
    matchConditions: [{ name: 'named', expression: "request.name.startsWith('v-')" }],
    validations: [
      { expression: '!variables.many', messageExpression: "'keys: ' + variables.keys.join(',')" },
      { expression: "namespaceObject.metadata.labels['team'] == 'a'" },
      { expression: "request.operation == 'CREATE' ? oldObject == null : oldObject.metadata.name == object.metadata.name" },
      { expression: "request.userInfo.username == 'kubernetes-admin' && !request.dryRun" },
      { expression: "authorizer.group('').resource('pods').namespace('tests').check('delete').allowed()" },
      {
        expression:
          "!authorizer.serviceAccount('tests', 'default').group('').resource('pods').namespace('tests').check('delete').allowed()",
      },
      { expression: "authorizer.requestResource.check('create').allowed() && authorizer.path('/healthz').check('get').allowed()" },
    ],
  })
  await bind('all')
  expect((await make('other', { x: '1', y: '2' })).code).toBe(201)
  expect((await make('v-1', { x: '1' })).code).toBe(201)
  expect((await rest('PATCH', `${maps}/v-1`, { data: { y: '2' } }, merge)).body.message).toMatch(/denied request: keys: x,y$/)
  expect((await rest('PATCH', `${maps}/v-1`, { data: { x: '2' } }, merge)).code).toBe(200)
  expect((await rest('POST', `${maps}?dryRun=All`, { metadata: { name: 'v-2' } })).body.message).toMatch(
    /failed expression: request\.userInfo/,
  )
})

it('goes by the selectors of policy and binding, and by names', async () => {
  await policy('never', { validations: [{ expression: 'false', message: 'never' }] })
  await bind('never', { matchResources: { namespaceSelector: { matchLabels: { team: 'b' } } } }, 'by-namespace')
  await bind('never', { matchResources: { objectSelector: { matchLabels: { judged: 'yes' } } } }, 'by-object')
  await bind('never', { matchResources: { resourceRules: [{ ...onMaps.resourceRules[0], resourceNames: ['bad'] }] } }, 'by-name')
  expect((await make('free')).code).toBe(201)
  expect((await make('labelled', {}, rest, { labels: { judged: 'yes' } })).body.message).toContain("binding 'by-object'")
  expect((await make('bad')).body.message).toContain("binding 'by-name'")
  await rest('PATCH', '/api/v1/namespaces/tests', { metadata: { labels: { team: 'b' } } }, merge)
  expect((await make('any')).body.message).toContain("binding 'by-namespace'")
  await rest('PATCH', '/api/v1/namespaces/tests', { metadata: { labels: { team: 'a' } } }, merge)
  expect((await make('any')).code).toBe(201)
})

it('warns instead, and notes for the audit log', async () => {
  await policy('quiet', {
    validations: [{ expression: "object.metadata.name != 'noted'", message: 'is noted' }],
    auditAnnotations: [
      { key: 'size', valueExpression: "'keys: ' + string(has(object.data) ? size(object.data) : 0)" },
      { key: 'none', valueExpression: 'null' },
    ],
  })
  await bind('quiet', { validationActions: ['Warn', 'Audit'] })
  const made = await make('noted', { x: '1' })
  expect(made.code).toBe(201)
  expect(made.headers['warning']).toBe("299 - \"Validation failed for ValidatingAdmissionPolicy 'quiet' with binding 'quiet': is noted\"")
  const events = async (): Promise<any[]> =>
    // any: tests look into events
    (await readFile(join(dir, 'audit.log'), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line))
      .filter(e => e.auditID === made.headers['audit-id'])
  await expect.poll(async () => (await events()).length).toBe(1)
  const [event] = await events()
  expect(event.annotations).toMatchObject({ 'quiet/size': 'keys: 1' })
  expect(event.annotations).not.toHaveProperty('quiet/none')
  expect(JSON.parse(event.annotations['validation.policy.admission.k8s.io/validation_failure'])).toEqual([
    { message: 'is noted', policy: 'quiet', binding: 'quiet', expressionIndex: 0, validationActions: ['Warn', 'Audit'] },
  ])
})

it('takes parameters by name and by labels, and does what it is told when there are none', async () => {
  const spec = {
    paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    matchConditions: [{ name: 'no-params', expression: "!object.metadata.name.startsWith('param')" }],
    validations: [
      { expression: '!has(object.data) || size(object.data) <= int(params.data.max)', messageExpression: "'at most ' + params.data.max" },
    ],
  }
  await policy('limits', spec)
  await bind('limits', { paramRef: { name: 'param', parameterNotFoundAction: 'Deny' } })
  expect((await make('a')).body).toMatchObject({
    code: 422,
    message: expect.stringMatching(
      /'limits' with binding 'limits' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction$/,
    ),
  })
  await rest('DELETE', `${group}/validatingadmissionpolicybindings/limits`)
  await make('param', { max: '1' }, other)
  await bind('limits', { paramRef: { name: 'param', parameterNotFoundAction: 'Deny' } })
  expect((await make('a', { x: '1' })).code).toBe(201)
  expect((await make('b', { x: '1', y: '2' })).body.message).toMatch(/: at most 1$/)
  await rest('PATCH', `${maps}/param`, { data: { max: '2' } }, merge)
  expect((await make('b', { x: '1', y: '2' }, other)).code).toBe(201)
  await rest('DELETE', `${group}/validatingadmissionpolicybindings/limits`)
  await bind('limits', { paramRef: { selector: { matchLabels: { limit: 'yes' } }, parameterNotFoundAction: 'Allow' } })
  expect((await make('c', { x: '1', y: '2', z: '3' })).code).toBe(201)
  await make('param-1', { max: '5' }, rest, { labels: { limit: 'yes' } })
  await make('param-2', { max: '1' }, rest, { labels: { limit: 'yes' } })
  expect((await make('d', { x: '1', y: '2' })).body.message).toMatch(/: at most 1$/)
})

it('fails or ignores what cannot be judged', async () => {
  const broken = { validations: [{ expression: "object.data.missing == 'x'" }] }
  await policy('strict', broken)
  await bind('strict')
  expect((await make('a', { y: '1' })).body).toMatchObject({
    code: 422,
    message: expect.stringMatching(/denied request: expression 'object\.data\.missing == 'x'' resulted in error: no such key: missing$/),
  })
  await rest('PATCH', `${group}/validatingadmissionpolicies/strict`, { spec: { failurePolicy: 'Ignore' } }, merge)
  expect((await make('a', { y: '1' })).code).toBe(201)
  await policy('unknown', { paramKind: { apiVersion: 'example.com/v1', kind: 'Nothing' }, validations: [{ expression: 'true' }] })
  await bind('unknown', { paramRef: { name: 'x', parameterNotFoundAction: 'Allow' } })
  expect((await make('b')).body.message).toMatch(
    /ValidatingAdmissionPolicy 'unknown' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example\.com\/v1, Kind=Nothing'$/,
  )
})

it('has no more than its budget', async () => {
  const big = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`k${i}`, 'x'.repeat(100)]))
  await policy('dear', {
    validations: [{ expression: "object.data.all(a, object.data.all(b, object.data.all(c, a != 'x' && b != 'x' && c != 'x')))" }],
  })
  await bind('dear')
  expect((await make('a', big)).body).toMatchObject({ code: 422, message: expect.stringContaining('cost') })
})

it('tells what is wrong with expressions when a policy is written', async () => {
  const refused = async (spec: object) => {
    const { code, body } = await rest('POST', `${group}/validatingadmissionpolicies`, {
      metadata: { name: 'wrong' },
      spec: { matchConstraints: onMaps, ...spec },
    })
    expect(code).toBe(422)
    return body.details.causes
  }
  expect(await refused({ validations: [{ expression: 'object.metadata.name' }] })).toEqual([
    {
      reason: 'FieldValueInvalid',
      field: 'spec.validations[0].expression',
      message: 'Invalid value: "object.metadata.name": must evaluate to bool but got dyn',
    },
  ])
  const [cause] = await refused({ validations: [{ expression: 'object.metadata.name == nobody' }] })
  expect(cause.message).toContain("compilation failed: ERROR: <input>:1:25: undeclared reference to 'nobody' (in container '')")
  expect((await refused({ validations: [{ expression: 'params.x == 1' }] }))[0].message).toContain("undeclared reference to 'params'")
  expect((await refused({ matchConditions: [{ name: 'x', expression: '1' }], validations: [{ expression: 'true' }] }))[0].field).toBe(
    'spec.matchConditions[0].expression',
  )
  expect(
    (await refused({ variables: [{ name: 'x', expression: 'y' }], validations: [{ expression: 'variables.x' }] })).map((c: any) => c.field),
  ).toContain('spec.variables[0].expression')
  expect((await refused({ validations: [{ expression: 'true', messageExpression: '1 + 1' }] }))[0].message).toContain(
    'must evaluate to string but got int',
  )
  expect(
    (await refused({ validations: [{ expression: 'true', messageExpression: "authorizer.path('/').check('get').reason()" }] }))[0].message,
  ).toContain("undeclared reference to 'authorizer'")
})

it('does not judge policies, and counts', async () => {
  await policy('everything', {
    matchConstraints: { resourceRules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*'] }] },
    validations: [{ expression: 'false' }],
  })
  await bind('everything')
  expect((await make('a')).code).toBe(422)
  expect((await rest('DELETE', `${group}/validatingadmissionpolicybindings/everything`)).code).toBe(200)
  expect((await make('a')).code).toBe(201)
  const { text } = await rest('GET', '/metrics')
  expect(text).toMatch(
    /apiserver_validating_admission_policy_check_total\{policy="everything",policy_binding="everything",error_type="invalid_error",enforcement_action="deny"\} 1/,
  )
})

it('tells kubectl', async () => {
  await policy('no-x', { validations: [{ expression: "!has(object.data) || !('x' in object.data)", message: 'x is not allowed' }] })
  await bind('no-x')
  const { code, stderr } = await runTool('kubectl', api.kubeconfig, ['-n', 'tests', 'create', 'configmap', 'k', '--from-literal=x=1'])
  expect(code).toBe(1)
  expect(stderr).toContain("ValidatingAdmissionPolicy 'no-x' with binding 'no-x' denied request: x is not allowed")
})
