/** rbac.authorization.k8s.io/v1 ClusterRole: what may be done in all namespaces, beside them, or where a binding says. */
import { required, type FieldError, type Path } from '../../machinery/field.ts'
import { list, obj, opt, type Infer } from '../../machinery/schema.ts'
import { nameIsPathSegment } from '../../machinery/names.ts'
import { nameColumn } from '../columns.ts'
import { clusterRoles } from '../kinds.ts'
import { labelSelector, validateLabelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { createdAtColumn } from './columns.ts'
import { policyRule, validateRules } from './policyrule.ts'

const aggregationRule = obj('io.k8s.api.rbac.v1.AggregationRule', 'Of which other roles a role is put together.', () => ({
  clusterRoleSelectors: opt(1, list(labelSelector), { doc: 'A role is in it when one of them matches its labels.', listType: 'atomic' }),
}))

const clusterRoleSchema = obj('io.k8s.api.rbac.v1.ClusterRole', 'What may be done anywhere, or where a binding says.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  rules: opt(2, list(policyRule), { doc: 'What may be done.', listType: 'atomic', pointer: false }),
  aggregationRule: opt(3, aggregationRule, { doc: 'Lets a controller put the rules together from those of other roles.' }),
}))
type AggregationRule = Infer<typeof aggregationRule>
export type ClusterRole = Stored<Infer<typeof clusterRoleSchema>>

export const clusterRole = resource<ClusterRole>({
  ...clusterRoles,
  schema: clusterRoleSchema,
  singular: 'clusterrole',
  allowCreateOnUpdate: true,
  columns: [nameColumn, createdAtColumn],
  validateName: nameIsPathSegment,
  validate: (r, at) => [...validateRules(r.rules, false, at.child('rules')), ...validateAggregation(r.aggregationRule, at)],
})

function validateAggregation(rule: AggregationRule | undefined, at: Path): FieldError[] {
  if (!rule) return []
  const path = at.child('aggregationRule', 'clusterRoleSelectors')
  const selectors = rule.clusterRoleSelectors ?? []
  if (selectors.length === 0) return [required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil')]
  return selectors.flatMap((selector, i) => validateLabelSelector(selector, {}, path.index(i)))
}
