/** core/v1 ResourceQuota: how much a namespace may hold in all. https://kubernetes.io/docs/concepts/policy/resource-quotas/ */
import { formatQuantity, parseQuantity } from '../../machinery/quantity.ts'
import { lookUp } from '../../machinery/jsonvalue.ts'
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { resourceQuotas } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateAmounts, validateResourceQuota, validateScopesUnchanged } from './resourcequotavalidation.ts'

const scopedResourceSelectorRequirement = obj(
  'io.k8s.api.core.v1.ScopedResourceSelectorRequirement',
  'A scope, and which of its values.',
  () => ({
    scopeName: req(1, str(), { doc: 'The scope.' }),
    operator: req(2, str(['DoesNotExist', 'Exists', 'In', 'NotIn']), { doc: 'In, NotIn, Exists or DoesNotExist.' }),
    values: opt(3, list(str()), { doc: 'The values for In and NotIn.', listType: 'atomic' }),
  }),
)
export type ScopedResourceSelectorRequirement = Infer<typeof scopedResourceSelectorRequirement>

const scopeSelector = obj(
  'io.k8s.api.core.v1.ScopeSelector',
  'Requirements of what is counted, all of which must hold.',
  () => ({ matchExpressions: opt(1, list(scopedResourceSelectorRequirement), { doc: 'The requirements.', listType: 'atomic' }) }),
  { atomic: true },
)

const resourceQuotaSpec = obj('io.k8s.api.core.v1.ResourceQuotaSpec', 'How much is allowed, and what is counted.', () => ({
  hard: opt(1, map(quantity()), { doc: 'The most of each resource.' }),
  scopes: opt(2, list(str()), { doc: 'What is counted must be in all of these scopes.', listType: 'atomic' }),
  scopeSelector: opt(3, scopeSelector, { doc: 'What is counted, by scopes and their values.' }),
}))
const resourceQuotaStatus = obj('io.k8s.api.core.v1.ResourceQuotaStatus', 'What is enforced, and what is used.', () => ({
  hard: opt(1, map(quantity()), { doc: 'The limits that are enforced.' }),
  used: opt(2, map(quantity()), { doc: 'What the namespace uses of each.' }),
}))
const resourceQuotaSchema = obj('io.k8s.api.core.v1.ResourceQuota', 'How much a namespace may hold in all.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, resourceQuotaSpec, { doc: 'What is allowed.', default: {} }),
  status: opt(3, resourceQuotaStatus, { doc: 'What is enforced, and what is used.', default: {} }),
}))
export type ResourceQuota = Stored<Infer<typeof resourceQuotaSchema>>

/** `pods: 1/10, requests.cpu: 0/2`, of the limits or of all others. */
function usage({ status }: ResourceQuota, limits: boolean): string {
  const { hard = {}, used = {} } = status ?? {}
  const text = (amounts: Record<string, string>, name: string): string => formatQuantity(parseQuantity(lookUp(amounts, name) ?? '0'))
  return Object.keys(hard)
    .sort()
    .filter(name => name.startsWith('limits.') === limits)
    .map(name => `${name}: ${text(used, name)}/${text(hard, name)}`)
    .join(', ')
}

export const resourceQuota = resource<ResourceQuota>({
  ...resourceQuotas,
  schema: resourceQuotaSchema,
  singular: 'resourcequota',
  shortNames: ['quota'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Request', type: 'string', doc: 'What is used and allowed of all that is no limit of pods.', cell: q => usage(q, false) },
    { name: 'Limit', type: 'string', doc: 'What is used and allowed of the limits of pods.', cell: q => usage(q, true) },
    ageColumn,
  ],
  deletion: { answersWithObject: true },
  validate: (q, at) => validateResourceQuota(q, at),
  validateUpdate: (q, old, at, ctx) => {
    if (ctx.subresource !== 'status') return validateScopesUnchanged(q, old, at)
    return [...validateAmounts(q.status?.hard, at.child('status', 'hard')), ...validateAmounts(q.status?.used, at.child('status', 'used'))]
  },
})
