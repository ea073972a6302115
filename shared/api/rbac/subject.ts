/** rbac.authorization.k8s.io/v1 Subject and RoleRef: the two sides of a binding. */
import { isDNS1123Subdomain, nameIsPathSegment } from '../../machinery/names.ts'
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { semanticEqual } from '../meta/validation.ts'
import { rbacGroup } from './policyrule.ts'

export const subject = obj(
  'io.k8s.api.rbac.v1.Subject',
  'Who may: a user, a group or a service account.',
  () => ({
    kind: req(1, str(), { doc: 'User, Group or ServiceAccount.', default: '' }),
    apiGroup: opt(2, str(), { doc: 'rbac.authorization.k8s.io for users and groups, empty for service accounts.' }),
    name: req(3, str(), { doc: 'Name of the subject.', default: '' }),
    namespace: opt(4, str(), { doc: 'Namespace of a service account.' }),
  }),
  { atomic: true },
)
export type Subject = Infer<typeof subject>

export const roleRef = obj(
  'io.k8s.api.rbac.v1.RoleRef',
  'The role that is given.',
  () => ({
    apiGroup: opt(1, str(), { doc: 'rbac.authorization.k8s.io.' }),
    kind: req(2, str(), { doc: 'Role or ClusterRole.', default: '' }),
    name: req(3, str(), { doc: 'Name of the role.', default: '' }),
  }),
  { atomic: true },
)
export type RoleRef = Infer<typeof roleRef>

interface Binding {
  subjects?: Subject[] | undefined
  roleRef: RoleRef
}

/** pkg/apis/rbac/v1/defaults.go */
export function defaultBinding({ subjects, roleRef }: Binding): void {
  if (!roleRef.apiGroup) roleRef.apiGroup = rbacGroup
  for (const s of subjects ?? []) if (!s.apiGroup && (s.kind === 'User' || s.kind === 'Group')) s.apiGroup = rbacGroup
}

/** pkg/apis/rbac/validation: ValidateRoleBinding and ValidateClusterRoleBinding. */
export function validateBinding({ subjects, roleRef }: Binding, namespaced: boolean, at: Path): FieldError[] {
  const ref = at.child('roleRef')
  const errors: FieldError[] = []
  const kinds = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole']
  if (roleRef.apiGroup !== rbacGroup) errors.push(notSupported(ref.child('apiGroup'), roleRef.apiGroup ?? '', [rbacGroup]))
  if (!kinds.includes(roleRef.kind)) errors.push(notSupported(ref.child('kind'), roleRef.kind, kinds))
  if (!roleRef.name) errors.push(required(ref.child('name')))
  else errors.push(...nameIsPathSegment(roleRef.name, false).map(e => invalid(ref.child('name'), roleRef.name, e)))
  return [...errors, ...(subjects ?? []).flatMap((s, i) => validateSubject(s, namespaced, at.child('subjects').index(i)))]
}

function validateSubject(s: Subject, namespaced: boolean, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const name = at.child('name')
  if (!s.name) errors.push(required(name))
  const group = s.apiGroup ?? ''
  switch (s.kind) {
    case 'ServiceAccount':
      if (s.name) errors.push(...isDNS1123Subdomain(s.name).map(e => invalid(name, s.name, e)))
      if (group !== '') errors.push(notSupported(at.child('apiGroup'), group, ['']))
      if (!namespaced && !s.namespace) errors.push(required(at.child('namespace')))
      break
    case 'User':
    case 'Group':
      if (group !== rbacGroup) errors.push(notSupported(at.child('apiGroup'), group, [rbacGroup]))
      break
    default:
      errors.push(notSupported(at.child('kind'), s.kind, ['ServiceAccount', 'User', 'Group']))
  }
  return errors
}

export const validateBindingUpdate = (binding: Binding, old: Binding, at: Path): FieldError[] =>
  semanticEqual(binding.roleRef, old.roleRef) ? [] : [invalid(at.child('roleRef'), binding.roleRef, 'cannot change roleRef')]
