/** Who may do what, by roles and bindings. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from './setup.ts'

const rbac = '/apis/rbac.authorization.k8s.io/v1'
const inDefault = `${rbac}/namespaces/default`
let api: ApiServerFixture
let rest: Rest
let other: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  other = (await api.startAnother()).rest
})
afterAll(() => api?.stop())

const user = (name: string, ...groups: string[]) => ({
  headers: { 'impersonate-user': name, ...(groups.length > 0 ? { 'impersonate-group': groups.join(', ') } : {}) },
})
const rule = (resources: string[], ...verbs: string[]) => ({ apiGroups: [''], resources, verbs })
const role = (name: string, ...rules: object[]) => ({ metadata: { name }, rules })
const binding = (name: string, kind: string, of: string, ...users: string[]) => ({
  metadata: { name },
  roleRef: { kind, name: of },
  subjects: users.map(u => ({ kind: 'User', name: u })),
})
const made = async (answer: Promise<Reply>): Promise<void> => {
  const { code, text } = await answer
  expect(code, text).toBe(201)
}

describe('a decision', () => {
  it('follows roles, bindings and their ends at once, through every server', async () => {
    await made(rest('POST', `${inDefault}/roles`, role('reader', rule(['configmaps'], 'list'))))
    for (let i = 0; i < 20; i++) {
      const [one, two] = i % 2 ? [rest, other] : [other, rest]
      const list = () => two('GET', configMaps, undefined, user('jane'))
      await made(one('POST', `${inDefault}/rolebindings`, binding('jane-reads', 'Role', 'reader', 'jane')))
      expect((await list()).code).toBe(200)
      expect((await one('DELETE', `${inDefault}/rolebindings/jane-reads`)).code).toBe(200)
      expect((await list()).body.message).toBe(
        'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"',
      )
    }
  })

  it('is of one namespace with a Role, of all with a ClusterRoleBinding', async () => {
    await made(rest('POST', `${rbac}/clusterroles`, role('writer', rule(['configmaps'], 'create'))))
    await made(rest('POST', `${inDefault}/rolebindings`, binding('tom-writes', 'ClusterRole', 'writer', 'tom')))
    const create = (namespace: string, name: string) =>
      rest('POST', `/api/v1/namespaces/${namespace}/configmaps`, configMap(name), user('tom'))
    expect((await create('default', 'of-tom')).code).toBe(201)
    expect((await create('kube-public', 'of-tom')).code).toBe(403)
    await made(rest('POST', `${rbac}/clusterrolebindings`, binding('tom-writes', 'ClusterRole', 'writer', 'tom')))
    expect((await create('kube-public', 'of-tom')).code).toBe(201)
  })

  it('says which role is bound but not there', async () => {
    await made(rest('POST', `${inDefault}/rolebindings`, binding('ann-lost', 'Role', 'nowhere', 'ann')))
    expect((await rest('GET', configMaps, undefined, user('ann'))).body.message).toBe(
      'configmaps is forbidden: User "ann" cannot list resource "configmaps" in API group "" in the namespace "default": RBAC: role.rbac.authorization.k8s.io "nowhere" not found',
    )
  })

  it('to change does not let create, by an apply or by an update', async () => {
    const change = [rule(['configmaps'], 'get', 'patch'), { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['update'] }]
    await made(rest('POST', `${inDefault}/roles`, role('changes', ...change)))
    await made(rest('POST', `${inDefault}/rolebindings`, binding('changes', 'Role', 'changes', 'pat')))
    const apply = { headers: { ...user('pat').headers, 'content-type': 'application/apply-patch+yaml' } }
    const own = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { a: '1' } }
    const path = `${configMaps}/applied?fieldManager=pat`
    expect((await rest('PATCH', path, own, apply)).body).toMatchObject({
      code: 403,
      message:
        'configmaps "applied" is forbidden: User "pat" cannot create resource "configmaps" in API group "" in the namespace "default"',
    })
    await made(rest('POST', configMaps, own))
    expect((await rest('PATCH', `${path}&force=true`, own, apply)).code).toBe(200)
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'put' }, spec: {} }
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
    expect((await rest('PUT', `${leases}/put`, lease, user('pat'))).body.message).toContain('User "pat" cannot create resource "leases"')
    const { body } = await rest('POST', leases, lease)
    expect((await rest('PUT', `${leases}/put`, body, user('pat'))).code).toBe(200)
  })

  it('of everybody who comes in: discovery', async () => {
    for (const path of ['/apis', '/openapi/v3', '/version']) expect((await rest('GET', path, undefined, user('eve'))).code, path).toBe(200)
    expect((await rest('GET', '/metrics', undefined, user('eve'))).body.message).toBe('forbidden: User "eve" cannot get path "/metrics"')
    expect((await rest('GET', '/metrics', undefined, user('eve', 'system:monitoring'))).code).toBe(200)
  })
})

describe('nobody gives what it does not have', () => {
  const held = 'is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
  beforeAll(async () => {
    const rules = [
      { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings', 'clusterroles'], verbs: ['*'] },
      rule(['configmaps'], 'get', 'list'),
    ]
    await made(rest('POST', `${rbac}/clusterroles`, role('delegate', ...rules)))
    await made(rest('POST', `${rbac}/clusterrolebindings`, binding('delegate', 'ClusterRole', 'delegate', 'del')))
    await made(rest('POST', `${inDefault}/roles`, role('secret-reader', rule(['secrets'], 'get', 'list'))))
    // All verbs are `escalate` and `bind`, too.
    const few = [
      { apiGroups: ['rbac.authorization.k8s.io'], resources: ['*'], verbs: ['create', 'update', 'patch'] },
      rule(['configmaps'], 'get', 'list'),
    ]
    await made(rest('POST', `${rbac}/clusterroles`, role('careful', ...few)))
    await made(rest('POST', `${rbac}/clusterrolebindings`, binding('careful', 'ClusterRole', 'careful', 'cara')))
  })
  const create = (kind: string, body: object, as: string) => rest('POST', `${inDefault}/${kind}`, body, user(as))

  it('in a role', async () => {
    await made(create('roles', role('lesser', rule(['configmaps'], 'get')), 'cara'))
    const { body } = await create('roles', role('more', rule(['secrets'], 'get', 'list')), 'cara')
    expect(body).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      details: { name: 'more', group: 'rbac.authorization.k8s.io', kind: 'roles' },
    })
    expect(body.message).toBe(`roles.rbac.authorization.k8s.io "more" is forbidden: user "cara" (groups=["system:authenticated"]) ${held}`)
    const patch = { headers: { ...user('cara').headers, 'content-type': 'application/merge-patch+json' } }
    expect((await rest('PATCH', `${inDefault}/roles/lesser`, { rules: [rule(['secrets'], 'get')] }, patch)).code).toBe(403)
    expect((await rest('PATCH', `${inDefault}/roles/lesser`, { metadata: { finalizers: ['a.b/c'] } }, patch)).code).toBe(200)
    expect((await rest('PUT', `${inDefault}/roles/put`, role('put', rule(['secrets'], 'get', 'list')), user('cara'))).code).toBe(403)
    await made(rest('PUT', `${inDefault}/roles/put`, role('put', rule(['configmaps'], 'get')), user('cara')))
    await made(create('roles', role('more', rule(['secrets'], 'get', 'list')), 'del'))
  })

  it('in a binding', async () => {
    const refused = await create('rolebindings', binding('more', 'Role', 'secret-reader', 'cara'), 'cara')
    expect(refused.body.message).toContain(`rolebindings.rbac.authorization.k8s.io "more" is forbidden: user "cara"`)
    expect(refused.body.message).toContain(held)
    const lost = await create('rolebindings', binding('lost', 'Role', 'nowhere', 'cara'), 'cara')
    expect(lost.body).toMatchObject({ code: 404, message: 'roles.rbac.authorization.k8s.io "nowhere" not found' })
    await made(create('rolebindings', binding('more', 'Role', 'secret-reader', 'cara'), 'del'))
  })

  it('in an aggregated role, which needs everything', async () => {
    const aggregated = { metadata: { name: 'gathers' }, aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } }
    expect((await rest('POST', `${rbac}/clusterroles`, aggregated, user('cara'))).body.message).toBe(
      'clusterroles.rbac.authorization.k8s.io "gathers" is forbidden: must have cluster-admin privileges to use an aggregationRule',
    )
    await made(rest('POST', `${rbac}/clusterroles`, aggregated))
  })
})

it('the roles of every cluster are brought up to date at the start', async () => {
  const at = `${rbac}/clusterroles/system:kube-scheduler`
  const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
  const before = (await rest('GET', at)).body
  expect(before.metadata).toMatchObject({ labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' } })
  await rest('PATCH', at, { rules: [] }, merge)
  const kept = `${rbac}/clusterroles/system:heapster`
  const annotations = { 'rbac.authorization.kubernetes.io/autoupdate': 'false' }
  await rest('PATCH', kept, { metadata: { annotations }, rules: [] }, merge)
  const bound = `${rbac}/clusterrolebindings/system:basic-user`
  await rest('DELETE', bound)
  const { server, rest: third } = await api.startAnother()
  expect((await third('GET', at)).body.rules.length).toBeGreaterThanOrEqual(before.rules.length)
  expect((await third('GET', kept)).body.rules).toEqual([])
  expect((await third('GET', bound)).code).toBe(200)
  third.close()
  await server.close()
})
