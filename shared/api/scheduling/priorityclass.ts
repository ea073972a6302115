/**
 * scheduling.k8s.io/v1 PriorityClass: a name for a priority.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
import { forbidden, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { bool, int32, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { priorityClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const priorityClassSchema = obj('io.k8s.api.scheduling.v1.PriorityClass', 'A name for a priority of pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  value: req(2, int32(), { doc: 'The priority; higher is more important.' }),
  globalDefault: opt(3, bool(), { doc: 'Whether pods without a class get this one.', pointer: false }),
  description: opt(4, str(), { doc: 'When to use it.' }),
  preemptionPolicy: opt(5, str(['Never', 'PreemptLowerPriority']), {
    doc: 'Whether its pods may take the place of others: Never or PreemptLowerPriority.',
    default: 'PreemptLowerPriority',
    pointer: true,
  }),
}))
export type PriorityClass = Stored<Infer<typeof priorityClassSchema>>

/** Values above it are the system's. */
const highestUserDefinablePriority = 1_000_000_000
const systemPrefix = 'system-'

/** What every cluster has. */
export const systemPriorityClasses: readonly { readonly name: string; readonly value: number; readonly description: string }[] = [
  {
    name: 'system-node-critical',
    value: 2 * highestUserDefinablePriority + 1000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
  {
    name: 'system-cluster-critical',
    value: 2 * highestUserDefinablePriority,
    description: 'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
]

/** Why a name that begins with `system-` may not be used; undefined when it may. */
function unknownSystemClass(name: string, { value, globalDefault }: PriorityClass): string | undefined {
  const known = systemPriorityClasses.find(c => c.name === name)
  if (!known) return `${name} is not a known system priority class`
  if (value !== known.value) return `value of ${name} PriorityClass must be ${known.value}`
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined
}

const policies = ['PreemptLowerPriority', 'Never']

function validate(c: PriorityClass, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const name = c.metadata.name ?? ''
  if (name.startsWith(systemPrefix)) {
    const why = unknownSystemClass(name, c)
    const reserved = "priority class names with 'system-' prefix are reserved for system use only"
    if (why !== undefined) errors.push(forbidden(at.child('metadata', 'name'), `${reserved}. error: ${why}`))
  } else if (c.value > highestUserDefinablePriority)
    errors.push(forbidden(at.child('value'), `maximum allowed value of a user defined priority is ${highestUserDefinablePriority}`))
  return errors
}

function validateCreate(c: PriorityClass, at: Path): FieldError[] {
  const policy = c.preemptionPolicy
  if (policy === '') return [required(at.child('preemptionPolicy'))]
  return policy === undefined || policies.includes(policy) ? [] : [notSupported(at.child('preemptionPolicy'), policy, policies)]
}

export const priorityClass = resource<PriorityClass>({
  ...priorityClasses,
  schema: priorityClassSchema,
  singular: 'priorityclass',
  shortNames: ['pc'],
  columns: [
    nameColumn,
    { name: 'Value', type: 'integer', doc: 'The priority', cell: c => c.value },
    { name: 'Global-Default', type: 'boolean', doc: 'Whether pods without a class get it', cell: c => c.globalDefault ?? false },
    ageColumn,
    { name: 'PreemptionPolicy', type: 'string', doc: 'Whether its pods may take the place of others', cell: c => c.preemptionPolicy ?? '' },
  ],
  // It stays at that: upstream counts no changes of this kind.
  prepareForCreate: c => (c.metadata.generation = 1),
  validate,
  validateCreate,
  validateUpdate: (c, old, at) => [
    ...(c.value === old.value ? [] : [forbidden(at.child('value'), 'may not be changed in an update.')]),
    ...validateImmutable(c.preemptionPolicy, old.preemptionPolicy, at.child('preemptionPolicy')),
  ],
})
