/** rbac.authorization.k8s.io/v1 Role: what may be done in a namespace. https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
import { list, obj, opt, type Infer } from '../../machinery/schema.ts'
import { nameIsPathSegment } from '../../machinery/names.ts'
import { nameColumn } from '../columns.ts'
import { roles } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { createdAtColumn } from './columns.ts'
import { policyRule, validateRules } from './policyrule.ts'

const roleSchema = obj('io.k8s.api.rbac.v1.Role', 'What may be done in a namespace.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  rules: opt(2, list(policyRule), { doc: 'What may be done.', listType: 'atomic', pointer: false }),
}))
export type Role = Stored<Infer<typeof roleSchema>>

export const role = resource<Role>({
  ...roles,
  schema: roleSchema,
  singular: 'role',
  allowCreateOnUpdate: true,
  columns: [nameColumn, createdAtColumn],
  validateName: nameIsPathSegment,
  validate: (r, at) => validateRules(r.rules, true, at.child('rules')),
})
