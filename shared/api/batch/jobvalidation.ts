/** Rules of batch/v1 Job's spec (pkg/apis/batch/validation), also as the template of a CronJob's. */
import {
  duplicate,
  invalid,
  invalidAt,
  notSupported,
  required,
  tooLong,
  tooMany,
  type FieldError,
  type Path,
} from '../../machinery/field.ts'
import { selects } from '../../machinery/labels.ts'
import { isDNS1123Label, isQualifiedName } from '../../machinery/names.ts'
import { selectorErrors } from '../apps/validation.ts'
import { validatePodTemplateSpec, type PodTemplateSpec } from '../core/podtemplate.ts'
import { validateLabelSelector } from '../meta/labelselector.ts'
import { semanticEqual, validateDomainPrefixedPath, validateImmutable, validateNonNegative } from '../meta/validation.ts'
import type { Job } from './job.ts'
import { countIndexes } from './jobindexes.ts'
import { controllerUidLabels, jobNameLabels, type JobSpec, type PodFailurePolicyRule, type SuccessPolicyRule } from './jobspec.ts'

const maxManagedByLength = 63
/** Of an indexed job. */
const maxParallelism = 100_000
const maxFailedIndexes = 100_000
/** Above this many completions, with a limit of failures for each index, parallelism and failed indexes have a lower limit. */
export const manyCompletions = 100_000
export const limitForManyCompletions = 10_000
/** Rules of a policy, and conditions of a rule. */
const maxRules = 20
const maxExitCodes = 255
const maxIndexesBytes = 64 * 1024

const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore']
const operators = ['In', 'NotIn']
const statuses = ['False', 'True', 'Unknown']
/** A Go slice of texts as `%q` prints it. */
const quoted = (values: readonly string[]): string => `valid values: [${values.map(v => JSON.stringify(v)).join(' ')}]`

export const isIndexed = (spec: JobSpec): boolean => spec.completionMode === 'Indexed'

/** Of a new or changed job. `prefixedLabels`: the labels with the domain are asked for, which very old jobs lack. */
export function validateJob(job: Job, at: Path, prefixedLabels = true): FieldError[] {
  const { spec, metadata } = job
  const path = at.child('spec')
  const errors = [...validateGeneratedSelector(job, at, prefixedLabels), ...validateJobSpec(spec, path)]
  if (!spec.selector) errors.push(required(path.child('selector')))
  else errors.push(...validateLabelSelector(spec.selector, {}, path.child('selector')))
  errors.push(...selectorErrors(spec.selector, spec.template ?? {}, path.child('template')))
  if (isIndexed(spec) && (spec.completions ?? 0) > 0) {
    const longest = `${metadata.name}-${spec.completions! - 1}`
    if (isDNS1123Label(longest).length > 0)
      errors.push(invalid(at.child('metadata', 'name'), metadata.name, `will not able to create pod with invalid DNS label: ${longest}`))
  }
  return errors
}

function validateGeneratedSelector({ metadata, spec }: Job, at: Path, prefixedLabels: boolean): FieldError[] {
  if (spec.manualSelector || !spec.selector) return []
  const path = at.child('spec', 'template', 'metadata', 'labels')
  const labels = spec.template?.metadata?.labels ?? {}
  const { uid = '', name = '' } = metadata
  const chosen = prefixedLabels ? 2 : 1
  const expected = [
    ...controllerUidLabels.slice(0, chosen).map(key => [key, uid] as const),
    ...jobNameLabels.slice(0, chosen).map(key => [key, name] as const),
  ]
  const errors = expected.flatMap(([key, value]) => {
    if (!Object.hasOwn(labels, key)) return [required(path.key(key), `must be '${value}'`)]
    return labels[key] === value ? [] : [invalid(path.key(key), labels, `must be '${value}'`)]
  })
  try {
    if (!selects(spec.selector, Object.fromEntries(expected)))
      errors.push(invalid(at.child('spec', 'selector'), spec.selector, '`selector` not auto-generated'))
  } catch {
    // An invalid selector is told about elsewhere.
  }
  return errors
}

const amounts = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
] as const

/** What holds for a job and for the template of one. */
export function validateJobSpec(spec: JobSpec, at: Path): FieldError[] {
  const errors = amounts.flatMap(name => validateNonNegative(spec[name], at.child(name)))
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined)
    errors.push(required(at.child('backoffLimitPerIndex'), 'when maxFailedIndexes is specified'))
  if (spec.managedBy !== undefined) {
    errors.push(...validateDomainPrefixedPath(spec.managedBy, at.child('managedBy')))
    if (spec.managedBy.length > maxManagedByLength) errors.push(tooLong(at.child('managedBy'), maxManagedByLength))
  }
  const template: PodTemplateSpec = spec.template ?? {}
  return [
    ...errors,
    ...validateCompletionMode(spec, at),
    ...validatePodFailurePolicy(spec, at.child('podFailurePolicy')),
    ...validateSuccessPolicy(spec, at.child('successPolicy')),
    ...validatePodReplacementPolicy(spec, at.child('podReplacementPolicy')),
    ...validatePodTemplateSpec(template, at.child('template')),
    ...validateRestartPolicy(spec, template, at.child('template', 'spec', 'restartPolicy')),
  ]
}

function validateCompletionMode(spec: JobSpec, at: Path): FieldError[] {
  const { completionMode: mode, completions, parallelism, maxFailedIndexes: failed } = spec
  const errors: FieldError[] = []
  if (mode !== undefined && mode !== 'Indexed' && mode !== 'NonIndexed')
    errors.push(notSupported(at.child('completionMode'), mode, ['Indexed', 'NonIndexed']))
  if (mode === undefined || mode === 'NonIndexed')
    for (const name of ['backoffLimitPerIndex', 'maxFailedIndexes'] as const)
      if (spec[name] !== undefined) errors.push(invalid(at.child(name), spec[name], 'requires indexed completion mode'))
  if (mode !== 'Indexed') return errors
  const most = (name: 'parallelism' | 'maxFailedIndexes', limit: number, when = ''): void => {
    if ((spec[name] ?? 0) > limit) errors.push(invalid(at.child(name), spec[name], `must be less than or equal to ${limit}${when}`))
  }
  if (completions === undefined) errors.push(required(at.child('completions'), 'when completion mode is Indexed'))
  most('parallelism', maxParallelism, ' when completion mode is Indexed')
  if (completions !== undefined && failed !== undefined && failed > completions)
    errors.push(invalid(at.child('maxFailedIndexes'), failed, 'must be less than or equal to completions'))
  most('maxFailedIndexes', maxFailedIndexes)
  if ((completions ?? 0) > manyCompletions && spec.backoffLimitPerIndex !== undefined) {
    const when = ` when completions are above ${manyCompletions} and used with backoff limit per index`
    if (failed === undefined)
      errors.push(required(at.child('maxFailedIndexes'), `must be specified when completions is above ${manyCompletions}`))
    if (parallelism !== undefined) most('parallelism', limitForManyCompletions, when)
    most('maxFailedIndexes', limitForManyCompletions, when)
  }
  return errors
}

function validateRestartPolicy(spec: JobSpec, template: PodTemplateSpec, at: Path): FieldError[] {
  const policy = template.spec?.restartPolicy ?? ''
  if (policy === '' || policy === 'Always') return [required(at, 'valid values: "OnFailure", "Never"')]
  if (policy !== 'OnFailure' && policy !== 'Never') return [notSupported(at, policy, ['OnFailure', 'Never'])]
  if (spec.podFailurePolicy && policy !== 'Never')
    return [invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')]
  return []
}

function validatePodReplacementPolicy({ podReplacementPolicy: policy, podFailurePolicy }: JobSpec, at: Path): FieldError[] {
  if (policy === undefined) return []
  const supported = podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']
  return supported.includes(policy) ? [] : [notSupported(at, policy, supported)]
}

function validatePodFailurePolicy(spec: JobSpec, at: Path): FieldError[] {
  if (!spec.podFailurePolicy) return []
  const rules = spec.podFailurePolicy.rules ?? []
  const path = at.child('rules')
  const { containers = [], initContainers = [] } = spec.template?.spec ?? {}
  const names = new Set([...containers, ...initContainers].map(c => c.name))
  return [
    ...(rules.length > maxRules ? [tooMany(path, rules.length, maxRules)] : []),
    ...rules.flatMap((rule, i) => validateFailureRule(spec, rule, names, path.index(i))),
  ]
}

function validateFailureRule(spec: JobSpec, rule: PodFailurePolicyRule, names: ReadonlySet<string>, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { action, onExitCodes, onPodConditions = [] } = rule
  if (!action) errors.push(required(at.child('action'), quoted(actions)))
  else if (action === 'FailIndex') {
    if (spec.backoffLimitPerIndex === undefined)
      errors.push(invalid(at.child('action'), action, 'requires the backoffLimitPerIndex to be set'))
  } else if (!actions.includes(action)) errors.push(notSupported(at.child('action'), action, actions))
  if (onExitCodes) errors.push(...validateExitCodes(onExitCodes, names, at.child('onExitCodes')))
  const conditions = at.child('onPodConditions')
  if (onPodConditions.length > maxRules) errors.push(tooMany(conditions, onPodConditions.length, maxRules))
  onPodConditions.forEach(({ type, status }, i) => {
    const here = conditions.index(i)
    errors.push(...isQualifiedName(type).map(m => invalid(here.child('type'), type, m)))
    if (!status) errors.push(required(here.child('status'), quoted(statuses)))
    else if (!statuses.includes(status)) errors.push(notSupported(here.child('status'), status, statuses))
  })
  if (onExitCodes && onPodConditions.length > 0)
    errors.push(invalidAt(at, 'specifying both OnExitCodes and OnPodConditions is not supported'))
  if (!onExitCodes && onPodConditions.length === 0)
    errors.push(invalidAt(at, 'specifying one of OnExitCodes and OnPodConditions is required'))
  return errors
}

function validateExitCodes(
  { operator, containerName, values = [] }: NonNullable<PodFailurePolicyRule['onExitCodes']>,
  names: ReadonlySet<string>,
  at: Path,
): FieldError[] {
  const errors: FieldError[] = []
  if (!operator) errors.push(required(at.child('operator'), quoted(operators)))
  else if (!operators.includes(operator)) errors.push(notSupported(at.child('operator'), operator, operators))
  if (containerName !== undefined && !names.has(containerName))
    errors.push(
      invalid(at.child('containerName'), containerName, 'must be one of the container or initContainer names in the pod template'),
    )
  const path = at.child('values')
  if (values.length === 0) errors.push(invalid(path, values, 'at least one value is required'))
  if (values.length > maxExitCodes) errors.push(tooMany(path, values.length, maxExitCodes))
  const seen = new Set<number>()
  values.forEach((value, i) => {
    if (operator === 'In' && value === 0) errors.push(invalid(path.index(i), value, 'must not be 0 for the In operator'))
    if (seen.has(value)) errors.push(duplicate(path.index(i), value))
    seen.add(value)
  })
  if (values.some((value, i) => i > 0 && values[i - 1]! > value)) errors.push(invalid(path, values, 'must be ordered'))
  return errors
}

function validateSuccessPolicy(spec: JobSpec, at: Path): FieldError[] {
  if (!spec.successPolicy) return []
  if (!isIndexed(spec)) return [invalid(at, spec.successPolicy, 'requires indexed completion mode')]
  const rules = spec.successPolicy.rules ?? []
  const path = at.child('rules')
  const errors: FieldError[] = []
  if (rules.length === 0) errors.push(required(path, 'at least one rules must be specified when the successPolicy is specified'))
  if (rules.length > maxRules) errors.push(tooMany(path, rules.length, maxRules))
  return [...errors, ...rules.flatMap((rule, i) => validateSuccessRule(rule, spec.completions ?? 0, path.index(i)))]
}

function validateSuccessRule(
  { succeededCount: count, succeededIndexes: indexes }: SuccessPolicyRule,
  completions: number,
  at: Path,
): FieldError[] {
  const errors: FieldError[] = []
  if (count === undefined && indexes === undefined)
    errors.push(required(at, 'at least one of succeededCount or succeededIndexes must be specified'))
  let total = 0
  if (indexes !== undefined) {
    const path = at.child('succeededIndexes')
    if (indexes.length > maxIndexesBytes) errors.push(tooLong(path, maxIndexesBytes))
    try {
      total = countIndexes(indexes, completions)
    } catch (e) {
      errors.push(invalid(path, indexes, `error parsing succeededIndexes: ${(e as Error).message}`))
    }
  }
  if (count === undefined) return errors
  const path = at.child('succeededCount')
  const atMost = (limit: number, of: string): FieldError =>
    invalid(path, count, `must be less than or equal to ${limit} (the number of ${of})`)
  errors.push(...validateNonNegative(count, path))
  if (count > completions) errors.push(atMost(completions, 'specified completions'))
  if (indexes !== undefined && count > total) errors.push(atMost(total, 'indexes in the specified succeededIndexes field'))
  return errors
}

/** What may not change; of the template, while a job is suspended and has never started, where its pods run may. */
export function validateJobUpdate(job: Job, old: Job, at: Path): FieldError[] {
  const [spec, before] = [job.spec, old.spec]
  const mayMove = before.suspend === true && old.status?.startTime === undefined
  const template = mayMove ? withDirectivesOf(before.template ?? {}, spec.template ?? {}) : before.template
  return [
    ...validateCompletionsUpdate(spec, before, at.child('completions')),
    ...validateImmutable(spec.selector, before.selector, at.child('selector')),
    ...validateImmutable(spec.template, template, at.child('template')),
    ...(['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const).flatMap(name =>
      validateImmutable(spec[name], before[name], at.child(name)),
    ),
  ]
}

/** An indexed job grows and shrinks by completions and parallelism together. */
function validateCompletionsUpdate(spec: JobSpec, old: JobSpec, at: Path): FieldError[] {
  if (!isIndexed(spec)) return validateImmutable(spec.completions, old.completions, at)
  if (spec.completions === undefined || spec.completions === old.completions || spec.completions === spec.parallelism) return []
  return [invalid(at, spec.completions, 'can only be modified in tandem with spec.parallelism')]
}

/** `template` with all of what decides where pods run, and the labels and annotations, from `from`. */
function withDirectivesOf(template: PodTemplateSpec, from: PodTemplateSpec): PodTemplateSpec {
  const [spec, wanted] = [template.spec ?? { containers: [] }, from.spec]
  const { nodeAffinity: _, ...others } = spec.affinity ?? {}
  const nodeAffinity = wanted?.affinity?.nodeAffinity
  const affinity = nodeAffinity ? { ...others, nodeAffinity } : others
  return {
    ...template,
    metadata: { ...template.metadata, labels: from.metadata?.labels, annotations: from.metadata?.annotations },
    spec: {
      ...spec,
      affinity: semanticEqual(affinity, {}) ? undefined : affinity,
      nodeSelector: wanted?.nodeSelector,
      tolerations: wanted?.tolerations,
      schedulingGates: wanted?.schedulingGates,
    },
  }
}
