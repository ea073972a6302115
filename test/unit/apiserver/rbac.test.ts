import { expect, it } from 'vitest'
import { clusterRoles } from '#control-plane/apiserver/bootstrap/policy/clusterroles.ts'
import { policyObjects } from '#control-plane/apiserver/bootstrap/policy/policy.ts'
import { reconciledBinding, reconciledRole } from '#control-plane/apiserver/bootstrap/policy/reconcile.ts'
import type { Attributes } from '#control-plane/apiserver/authz/authorizer.ts'
import { compact, describe as text, uncovered } from '#control-plane/apiserver/authz/rbac/covers.ts'
import { allows, compile } from '#control-plane/apiserver/authz/rbac/matching.ts'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'

const ask = (change: Partial<Attributes>): Attributes => ({
  user: { name: 'u', groups: [] },
  verb: 'get',
  isResource: true,
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'n',
  name: 'a',
  path: '',
  ...change,
})
const may = (rules: PolicyRule[], change: Partial<Attributes> = {}): boolean => {
  const a = ask(change)
  return allows(compile(rules), a, a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`)
}
const core = { apiGroups: [''] }

it('rules of resources', () => {
  const pods = { ...core, resources: ['pods'], verbs: ['get'] }
  expect(may([pods])).toBe(true)
  expect(may([pods], { verb: 'list' })).toBe(false)
  expect(may([pods], { subresource: 'log' })).toBe(false)
  expect(may([pods], { group: 'apps' })).toBe(false)
  expect(may([{ ...pods, resources: ['pods/log'] }], { subresource: 'log' })).toBe(true)
  expect(may([{ ...pods, resources: ['*/log'] }], { subresource: 'log' })).toBe(true)
  expect(may([{ ...pods, resources: ['*/log'] }])).toBe(false)
  expect(may([{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], { group: 'x', subresource: 'y', verb: 'z' })).toBe(true)
  const named = { ...pods, resourceNames: ['a', 'b'] }
  expect([may([named]), may([named], { name: 'c' }), may([named], { name: '' })]).toEqual([true, false, false])
})

it('rules of paths', () => {
  const path = (url: string, rule: string): boolean =>
    may([{ verbs: ['get'], nonResourceURLs: [rule] }], { isResource: false, resource: '', path: url })
  expect([
    path('/api', '/api'),
    path('/api/v1', '/api'),
    path('/api/v1', '/api/*'),
    path('/x', '*'),
    path('/healthy', '/healthz*'),
  ]).toEqual([true, false, true, true, false])
  expect(may([{ verbs: ['get'], nonResourceURLs: ['*'] }])).toBe(false)
})

it('rules that others cover, and what is missing, in words', () => {
  const admin = clusterRoles.find(r => r.metadata.name === 'cluster-admin')!.rules!
  expect(
    uncovered(
      admin,
      policyObjects.flatMap(o => (o as ClusterRole).rules ?? []),
    ),
  ).toEqual([])
  const owner: PolicyRule[] = [
    { verbs: ['get', 'list'], ...core, resources: ['pods', '*/status'] },
    { verbs: ['update'], ...core, resources: ['secrets'], resourceNames: ['s'] },
    { verbs: ['get'], nonResourceURLs: ['/a/*'] },
  ]
  const wanted: PolicyRule[] = [
    { verbs: ['get', 'watch', 'delete'], ...core, resources: ['pods', 'nodes/status'] },
    { verbs: ['update'], ...core, resources: ['secrets'], resourceNames: ['s', 't'] },
    { verbs: ['update'], ...core, resources: ['secrets'] },
    { verbs: ['get'], nonResourceURLs: ['/a/b', '/b'] },
  ]
  expect(compact(uncovered(owner, wanted)).map(text)).toEqual([
    '{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}',
    '{APIGroups:[""], Resources:["nodes/status"], Verbs:["watch" "delete"]}',
    '{APIGroups:[""], Resources:["secrets"], ResourceNames:["t"], Verbs:["update"]}',
    '{APIGroups:[""], Resources:["secrets"], Verbs:["update"]}',
    '{NonResourceURLs:["/b"], Verbs:["get"]}',
  ])
})

it('reconciliation adds what is missing, takes nothing away, and leaves alone what is marked so', () => {
  const [view] = clusterRoles.filter(r => r.metadata.name === 'system:kube-dns') as [ClusterRole]
  expect(reconciledRole(view, view)).toBeUndefined()
  const own: PolicyRule = { verbs: ['get'], ...core, resources: ['mine'] }
  const changed: ClusterRole = { ...view, metadata: { name: 'r', labels: { own: 'x' } }, rules: [own], aggregationRule: {} }
  const next = reconciledRole(changed, view)!
  expect(next.rules![0]).toEqual(own)
  expect(uncovered(next.rules!, view.rules!)).toEqual([])
  expect(next.metadata.labels).toEqual({ ...view.metadata.labels, own: 'x' })
  expect(next.aggregationRule).toBeUndefined()
  const annotations = { 'rbac.authorization.kubernetes.io/autoupdate': 'false' }
  expect(reconciledRole({ ...changed, metadata: { ...changed.metadata, annotations } }, view)).toBeUndefined()

  const binding = policyObjects.find(o => o.kind === 'ClusterRoleBinding' && o.metadata.name === 'system:discovery') as ClusterRoleBinding
  const jane = { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jane' }
  expect((reconciledBinding({ ...binding, subjects: [jane] }, binding) as ClusterRoleBinding).subjects).toEqual([
    jane,
    ...binding.subjects!,
  ])
  expect(reconciledBinding({ ...binding, roleRef: { ...binding.roleRef, name: 'other' } }, binding)).toBe('recreate')
})

it('every controller has a role and a binding, and all names are different', () => {
  const names = policyObjects.map(o => `${o.kind} ${o.metadata.namespace ?? ''}/${o.metadata.name}`)
  expect(new Set(names).size).toBe(names.length)
  for (const name of names.filter(n => n.startsWith('ClusterRole /system:controller:')))
    expect(names).toContain(name.replace('ClusterRole ', 'ClusterRoleBinding '))
})
