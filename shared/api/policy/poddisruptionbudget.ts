/**
 * policy/v1 PodDisruptionBudget: how many pods of a set may be away at one time.
 * https://kubernetes.io/docs/tasks/run-application/configure-pdb/
 */
import { invalid, notSupported, type FieldError, type Path } from '../../machinery/field.ts'
import { validateIntOrPercent, validateNotMoreThan100Percent } from '../../machinery/intstr.ts'
import { int32, int64, intOrString, list, map, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { podDisruptionBudgets } from '../kinds.ts'
import { condition } from '../meta/condition.ts'
import { labelSelector, validateLabelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateConditions, validateNonNegative } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const evictionPolicies = ['AlwaysAllow', 'IfHealthyBudget'] as const

const podDisruptionBudgetSpec = obj('io.k8s.api.policy.v1.PodDisruptionBudgetSpec', 'Which pods, and how many of them must stay.', () => ({
  minAvailable: opt(1, intOrString(), { doc: 'Pods that must stay available after an eviction, a number or a percentage.', pointer: true }),
  selector: opt(2, labelSelector, {
    doc: 'Selects the guarded pods; an empty one all of the namespace, an absent one none.',
    patchStrategy: 'replace',
  }),
  maxUnavailable: opt(3, intOrString(), {
    doc: 'Pods that may be unavailable after an eviction, a number or a percentage.',
    pointer: true,
  }),
  unhealthyPodEvictionPolicy: opt(4, str(evictionPolicies), {
    doc: 'When pods that are not ready may be evicted: IfHealthyBudget (also when absent), or AlwaysAllow.',
    pointer: true,
  }),
}))
const podDisruptionBudgetStatus = obj('io.k8s.api.policy.v1.PodDisruptionBudgetStatus', 'What the controller saw last.', () => ({
  observedGeneration: opt(1, int64(), { doc: 'The generation that the controller saw; else no eviction is allowed.', pointer: false }),
  disruptedPods: opt(2, map(time()), { doc: 'Pods whose eviction was allowed and that the controller has not seen going, with the time.' }),
  disruptionsAllowed: req(3, int32(), { doc: 'How many more pods may be evicted now.', default: 0 }),
  currentHealthy: req(4, int32(), { doc: 'Healthy pods.', default: 0 }),
  desiredHealthy: req(5, int32(), { doc: 'The least number of healthy pods.', default: 0 }),
  expectedPods: req(6, int32(), { doc: 'Pods that are counted by this budget.', default: 0 }),
  conditions: opt(7, list(condition), {
    doc: 'DisruptionAllowed, with reason SyncFailed, InsufficientPods or SufficientPods.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))
const podDisruptionBudgetSchema = obj('io.k8s.api.policy.v1.PodDisruptionBudget', 'The most disruption that a set of pods bears.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, podDisruptionBudgetSpec, { doc: 'Which pods, and how many of them must stay.', default: {} }),
  status: opt(3, podDisruptionBudgetStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type PodDisruptionBudget = Stored<Infer<typeof podDisruptionBudgetSchema>>
export type PodDisruptionBudgetStatus = Infer<typeof podDisruptionBudgetStatus>

const noStatus = (): PodDisruptionBudgetStatus => ({ disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 })

export const podDisruptionBudget = resource<PodDisruptionBudget>({
  ...podDisruptionBudgets,
  schema: podDisruptionBudgetSchema,
  singular: 'poddisruptionbudget',
  shortNames: ['pdb'],
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    {
      name: 'Min Available',
      type: 'string',
      doc: 'The minimum number of pods that must be available.',
      cell: b => String(b.spec.minAvailable ?? 'N/A'),
    },
    {
      name: 'Max Unavailable',
      type: 'string',
      doc: 'The maximum number of pods that may be unavailable.',
      cell: b => String(b.spec.maxUnavailable ?? 'N/A'),
    },
    {
      name: 'Allowed Disruptions',
      type: 'integer',
      doc: 'Calculated number of pods that may be disrupted at this time.',
      cell: b => b.status?.disruptionsAllowed ?? 0,
    },
    ageColumn,
  ],
  prepareForCreate: b => {
    b.status = noStatus()
  },
  validate: (b, at) => validateSpec(b.spec, at.child('spec')),
  validateUpdate: (b, _, at, ctx) => (ctx.subresource === 'status' ? validateStatus(b.status ?? noStatus(), at.child('status')) : []),
})

function validateSpec(spec: PodDisruptionBudget['spec'], at: Path): FieldError[] {
  const { minAvailable, maxUnavailable, unhealthyPodEvictionPolicy: policy } = spec
  const errors: FieldError[] = []
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    errors.push(invalid(at, spec, 'minAvailable and maxUnavailable cannot be both set'))
  for (const name of ['minAvailable', 'maxUnavailable'] as const) {
    const value = spec[name]
    if (value !== undefined)
      errors.push(...validateIntOrPercent(value, at.child(name)), ...validateNotMoreThan100Percent(value, at.child(name)))
  }
  errors.push(...validateLabelSelector(spec.selector, {}, at.child('selector')))
  if (policy !== undefined && !evictionPolicies.some(p => p === policy))
    errors.push(notSupported(at.child('unhealthyPodEvictionPolicy'), policy, evictionPolicies))
  return errors
}

const validateStatus = (status: PodDisruptionBudgetStatus, at: Path): FieldError[] => [
  ...validateConditions(status.conditions, at.child('conditions')),
  ...(['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const).flatMap(name =>
    validateNonNegative(status[name], at.child(name)),
  ),
]
