import { expect, it } from 'vitest'
import { clusterRole, type ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import { clusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import { role } from '#shared/api/rbac/role.ts'
import { roleBinding, type RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { Path, type FieldError } from '#shared/machinery/field.ts'

const root = new Path()
const lines = (errors: FieldError[] | undefined): string[] => (errors ?? []).map(e => `${e.field}: ${e.message}`)
const meta = { name: 'r', namespace: 'n' }

it('rules name resources or paths, and roles in a namespace no paths', () => {
  const rules = [
    { verbs: [], apiGroups: [''], resources: ['pods'] },
    { verbs: ['get'] },
    { verbs: ['get'], nonResourceURLs: ['/a'], resources: ['pods'] },
  ]
  const both = [
    'rules[0].verbs: Required value: verbs must contain at least one value',
    'rules[1].apiGroups: Required value: resource rules must supply at least one api group',
    'rules[1].resources: Required value: resource rules must supply at least one resource',
  ]
  const mixed = 'rules[2].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource URLs'
  const cluster: ClusterRole = { apiVersion: 'v', kind: 'ClusterRole', metadata: meta, rules, aggregationRule: {} }
  expect(lines(clusterRole.validate?.(cluster, root))).toEqual([
    ...both,
    mixed,
    'aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil',
  ])
  expect(lines(role.validate?.({ apiVersion: 'v', kind: 'Role', metadata: meta, rules }, root))).toEqual([
    ...both,
    'rules[2].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
    mixed,
  ])
})

const binding = (change: Partial<RoleBinding> = {}): RoleBinding => {
  const b: RoleBinding = {
    apiVersion: 'v',
    kind: 'RoleBinding',
    metadata: meta,
    roleRef: { kind: 'Role', name: 'r' },
    subjects: [
      { kind: 'User', name: 'jane' },
      { kind: 'Group', name: 'g' },
      { kind: 'ServiceAccount', name: 'sa', namespace: 'n' },
    ],
    ...change,
  }
  roleBinding.defaults?.(b)
  return b
}

it('bindings: defaults, columns, and a role that stays', () => {
  const b = binding()
  expect(b.roleRef.apiGroup).toBe('rbac.authorization.k8s.io')
  expect(b.subjects!.map(s => s.apiGroup)).toEqual(['rbac.authorization.k8s.io', 'rbac.authorization.k8s.io', undefined])
  expect(lines(roleBinding.validate?.(b, root))).toEqual([])
  expect(roleBinding.columns!.map(c => c.cell(b))).toEqual(['r', 'Role/r', '<unknown>', 'jane', 'g', 'n/sa'])
  const other = binding({ roleRef: { kind: 'ClusterRole', name: 'r' } })
  const change = roleBinding.validateUpdate?.(other, b, root, { subresource: '', dryRun: false })
  expect(lines(change)[0]).toMatch(/^roleRef: Invalid value: .*: cannot change roleRef$/)
})

it('bindings: whom and what they name', () => {
  const wrong = binding({
    roleRef: { kind: 'Other', name: '', apiGroup: 'x' },
    subjects: [
      { kind: 'User', name: '', apiGroup: 'x' },
      { kind: 'ServiceAccount', name: 'Not_Valid' },
      { kind: 'Node', name: 'n' },
    ],
  })
  const heads = (errors: string[]): string[] => errors.map(e => e.split(': ').slice(0, 2).join(': '))
  const common = ['subjects[0].name: Required value', 'subjects[0].apiGroup: Unsupported value', 'subjects[1].name: Invalid value']
  const roleRef = ['roleRef.apiGroup: Unsupported value', 'roleRef.kind: Unsupported value', 'roleRef.name: Required value']
  const kind = 'subjects[2].kind: Unsupported value'
  expect(heads(lines(roleBinding.validate?.(wrong, root)))).toEqual([...roleRef, ...common, kind])
  expect(heads(lines(clusterRoleBinding.validate?.(wrong, root)))).toEqual([
    ...roleRef,
    ...common,
    'subjects[1].namespace: Required value',
    kind,
  ])
})
