/** Who am I, and what may somebody do? By API and with kubectl. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'

const authorization = '/apis/authorization.k8s.io/v1'
const rbac = '/apis/rbac.authorization.k8s.io/v1'
let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  const rules = [{ apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'] }]
  await rest('POST', `${rbac}/namespaces/default/roles`, { metadata: { name: 'reader' }, rules })
  await rest('POST', `${rbac}/namespaces/default/rolebindings`, {
    metadata: { name: 'readers' },
    roleRef: { kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'Group', name: 'readers' }],
  })
})
afterAll(() => api?.stop())

const pods = { namespace: 'default', verb: 'list', resource: 'pods' }
const as = (user: string, ...groups: string[]) => ({
  headers: { 'impersonate-user': user, ...(groups.length > 0 ? { 'impersonate-group': groups.join(', ') } : {}) },
})

describe('access reviews', () => {
  it('of anybody, of oneself, and of one namespace', async () => {
    const ask = async (path: string, spec: object, options = {}) => (await rest('POST', `${authorization}/${path}`, { spec }, options)).body
    const jane = { user: 'jane', groups: ['readers'], resourceAttributes: pods }
    const yes = {
      allowed: true,
      reason: 'RBAC: allowed by RoleBinding "readers/default" of Role "reader" to Group "readers"',
    }
    expect(await ask('subjectaccessreviews', jane)).toMatchObject({ kind: 'SubjectAccessReview', spec: jane, status: yes })
    expect(await ask('namespaces/default/localsubjectaccessreviews', jane)).toMatchObject({ status: yes })
    expect(await ask('selfsubjectaccessreviews', { resourceAttributes: pods }, as('jane', 'readers'))).toMatchObject({ status: yes })
    expect((await ask('subjectaccessreviews', { ...jane, groups: [] })).status).toEqual({ allowed: false })
    const version = { user: 'x', groups: ['system:authenticated'], nonResourceAttributes: { path: '/apis/x', verb: 'get' } }
    expect((await ask('subjectaccessreviews', version)).status.allowed).toBe(true)
  })

  it('have no columns, and metadata', async () => {
    const ask = (as: string) =>
      rest(
        'POST',
        `${authorization}/selfsubjectaccessreviews`,
        { spec: { resourceAttributes: pods } },
        { headers: { accept: `application/json;as=${as};v=v1;g=meta.k8s.io` } },
      )
    expect((await ask('Table')).body).toMatchObject({ code: 406, reason: 'NotAcceptable' })
    expect((await ask('Table;v=v1;g=meta.k8s.io,application/json')).body.kind).toBe('SelfSubjectAccessReview')
    expect((await ask('PartialObjectMetadata')).body).toMatchObject({ kind: 'PartialObjectMetadata', metadata: {} })
  })

  it('are refused when they ask nothing, or too much', async () => {
    const causes = async (path: string, body: object) =>
      (await rest('POST', `${authorization}/${path}`, body)).body.details?.causes?.map((c: { field: string }) => c.field)
    expect(await causes('subjectaccessreviews', { spec: {} })).toEqual(['spec.resourceAttributes', 'spec.user'])
    expect(await causes('subjectaccessreviews', { metadata: { name: 'x' }, spec: { user: 'u', resourceAttributes: pods } })).toEqual([
      'metadata',
    ])
    const elsewhere = { spec: { user: 'u', resourceAttributes: { ...pods, namespace: 'other' } } }
    expect(await causes('namespaces/default/localsubjectaccessreviews', elsewhere)).toEqual(['spec.resourceAttributes.namespace'])
    const both = { resourceAttributes: pods, nonResourceAttributes: { path: '/', verb: 'get' } }
    expect(await causes('selfsubjectaccessreviews', { spec: both })).toEqual(['spec.nonResourceAttributes'])
    expect((await rest('GET', `${authorization}/subjectaccessreviews`)).code).toBe(405)
    const refused = await rest(
      'POST',
      `${authorization}/subjectaccessreviews`,
      { spec: { user: 'u', resourceAttributes: pods } },
      as('eve'),
    )
    expect(refused.code).toBe(403)
  })

  it('rules of oneself', async () => {
    const path = `${authorization}/selfsubjectrulesreviews`
    const { status } = (await rest('POST', path, { spec: { namespace: 'default' } }, as('jane', 'readers'))).body
    expect(status.resourceRules).toContainEqual({ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods', 'pods/log'] })
    expect(status.nonResourceRules).toContainEqual({ verbs: ['get'], nonResourceURLs: expect.arrayContaining(['/version']) })
    expect(status.incomplete).toBe(false)
    expect((await rest('POST', path, { spec: {} })).body.message).toBe('no namespace on request')
  })
})

it('a list of one name counts as one', async () => {
  const rules = [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['mine'], verbs: ['list', 'watch'] }]
  await rest('POST', `${rbac}/namespaces/default/roles`, { metadata: { name: 'one' }, rules })
  const binding = { metadata: { name: 'one' }, roleRef: { kind: 'Role', name: 'one' }, subjects: [{ kind: 'User', name: 'uno' }] }
  await rest('POST', `${rbac}/namespaces/default/rolebindings`, binding)
  const list = async (selector: string) =>
    (await rest('GET', `/api/v1/namespaces/default/configmaps?fieldSelector=${encodeURIComponent(selector)}`, undefined, as('uno'))).code
  expect(await list('metadata.name=mine')).toBe(200)
  expect(await list('metadata.name=other')).toBe(403)
  expect(await list('metadata.name!=mine')).toBe(403)
})

describe('kubectl auth', () => {
  const kubectl = (...args: string[]) => runTool('kubectl', api.kubeconfig, ['auth', ...args])
  it('can-i', async () => {
    const reader = ['--as=jane', '--as-group=readers']
    expect(await kubectl('can-i', 'list', 'pods', ...reader)).toMatchObject({ code: 0, stdout: 'yes' })
    expect(await kubectl('can-i', 'get', 'pods', '--subresource=log', ...reader)).toMatchObject({ code: 0, stdout: 'yes' })
    expect(await kubectl('can-i', 'delete', 'pods', ...reader)).toMatchObject({ code: 1, stdout: 'no' })
    expect(await kubectl('can-i', '*', '*')).toMatchObject({ code: 0, stdout: 'yes' })
    const { stdout } = await kubectl('can-i', '--list', '-n', 'default', ...reader)
    expect(stdout).toMatch(/^pods +\[\] +\[\] +\[get list\]$/m)
    expect(stdout).toMatch(/^selfsubjectreviews\.authentication\.k8s\.io +\[\] +\[\] +\[create\]$/m)
  })

  it('whoami', async () => {
    const { stdout } = await kubectl('whoami', '-o', 'json')
    expect(JSON.parse(stdout).status.userInfo).toMatchObject({
      username: 'kubernetes-admin',
      groups: ['system:masters', 'system:authenticated'],
    })
    expect((await kubectl('whoami', '--as=bob', '--as-group=devs')).stdout).toMatch(/Username +bob\nGroups +\[devs system:authenticated\]/)
  })

  it('reconcile', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'cox-auth-'))
    const file = join(dir, 'roles.yaml')
    await writeFile(
      file,
      `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: others, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: otto}]
`,
    )
    expect(await kubectl('reconcile', '-f', file)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('role.rbac.authorization.k8s.io/reader reconciled'),
    })
    expect((await rest('GET', `${rbac}/namespaces/default/roles/reader`)).body.rules).toHaveLength(2)
    expect(await kubectl('can-i', 'watch', 'pods', '--as=otto')).toMatchObject({ stdout: 'yes' })
    await rm(dir, { recursive: true })
  })
})
