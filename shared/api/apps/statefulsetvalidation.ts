/** Rules of apps/v1 StatefulSet (pkg/apis/apps/validation). Paths are those of spec and status. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { amountOf, validateIntOrPercent, validateNotMoreThan100Percent } from '../../machinery/intstr.ts'
import { selectorOf } from '../../machinery/labels.ts'
import { isDNS1123Label } from '../../machinery/names.ts'
import { validatePersistentVolumeClaimSpec } from '../core/persistentvolumeclaimspecvalidation.ts'
import { validatePodTemplateSpec, type PodTemplateSpec } from '../core/podtemplate.ts'
import { isEmptySelector, validateLabelSelector } from '../meta/labelselector.ts'
import { semanticEqual, validateNonNegative, validateNotDecremented } from '../meta/validation.ts'
import type { StatefulSet, StatefulSetStatus } from './statefulset.ts'
import { selectorErrors } from './validation.ts'

type Spec = StatefulSet['spec']

export function validateStatefulSet({ spec }: StatefulSet, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const policy = spec.podManagementPolicy ?? ''
  if (policy === '') errors.push(required(at.child('podManagementPolicy')))
  else if (policy !== 'OrderedReady' && policy !== 'Parallel')
    errors.push(invalid(at.child('podManagementPolicy'), policy, "must be 'OrderedReady' or 'Parallel'"))
  errors.push(...validateUpdateStrategy(spec.updateStrategy ?? {}, at.child('updateStrategy')))
  for (const when of ['whenDeleted', 'whenScaled'] as const) {
    const retention = spec.persistentVolumeClaimRetentionPolicy
    const value = retention?.[when] ?? ''
    if (retention && value !== 'Retain' && value !== 'Delete')
      errors.push(notSupported(at.child('persistentVolumeClaimRetentionPolicy', when), value, ['Retain', 'Delete']))
  }
  spec.volumeClaimTemplates?.forEach((claim, i) =>
    errors.push(...validatePersistentVolumeClaimSpec(claim.spec ?? {}, at.child('volumeClaimTemplates').index(i).child('spec'))),
  )
  errors.push(
    ...validateNonNegative(spec.replicas, at.child('replicas')),
    ...validateNonNegative(spec.minReadySeconds, at.child('minReadySeconds')),
    ...validateNonNegative(spec.ordinals?.start, at.child('ordinals.start')),
  )
  if (spec.serviceName) errors.push(...isDNS1123Label(spec.serviceName).map(m => invalid(at.child('serviceName'), spec.serviceName, m)))
  return [...errors, ...validateSelector(spec, at), ...validateTemplate(spec, at.child('template'))]
}

function validateUpdateStrategy(strategy: NonNullable<Spec['updateStrategy']>, at: Path): FieldError[] {
  const path = at.child('rollingUpdate')
  const { type = '', rollingUpdate } = strategy
  if (type === '') return [required(at)]
  if (type === 'OnDelete') return rollingUpdate ? [invalid(path, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")] : []
  if (type !== 'RollingUpdate') return [invalid(at, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
  const { partition, maxUnavailable } = rollingUpdate ?? {}
  const errors = validateNonNegative(partition, path.child('partition'))
  if (maxUnavailable === undefined) return errors
  const here = path.child('maxUnavailable')
  errors.push(...validateIntOrPercent(maxUnavailable, here))
  if (amountOf(maxUnavailable) === 0) errors.push(invalid(here, maxUnavailable, 'cannot be 0'))
  return [...errors, ...validateNotMoreThan100Percent(maxUnavailable, here)]
}

function validateSelector({ selector }: Spec, at: Path): FieldError[] {
  const path = at.child('selector')
  if (!selector) return [required(path)]
  const errors = validateLabelSelector(selector, {}, path)
  if (isEmptySelector(selector)) errors.push(invalid(path, selector, 'empty selector is invalid for statefulset'))
  try {
    selectorOf(selector)
  } catch {
    errors.push(invalid(path, selector, ''))
  }
  return errors
}

/** The template with the volumes that its claims will be. */
function validateTemplate({ selector, template = {}, volumeClaimTemplates = [] }: Spec, at: Path): FieldError[] {
  const errors = selector && isEmptySelector(selector) ? [] : selectorErrors(selector, template, at)
  const claimed = volumeClaimTemplates.map(({ metadata }) => metadata?.name ?? '')
  const volumes = [
    ...(template.spec?.volumes ?? []).filter(v => !claimed.includes(v.name)),
    ...claimed.map(name => ({ name, persistentVolumeClaim: { claimName: name } })),
  ]
  const whole: PodTemplateSpec = template.spec ? { ...template, spec: { ...template.spec, volumes } } : template
  errors.push(...validatePodTemplateSpec(whole, at))
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') errors.push(notSupported(at.child('spec', 'restartPolicy'), policy ?? '', ['Always']))
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(forbidden(at.child('spec', 'activeDeadlineSeconds'), 'activeDeadlineSeconds in StatefulSet is not Supported'))
  return errors
}

const mutable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const

export function validateStatefulSetUpdate(spec: Spec, old: Spec, at: Path): FieldError[] {
  const fixed = (s: Spec): object => Object.fromEntries(Object.entries(s).filter(([name]) => !mutable.some(m => m === name)))
  if (semanticEqual(fixed(spec), fixed(old))) return []
  const names = mutable.map(name => `'${name}'`)
  return [
    forbidden(at, `updates to statefulset spec for fields other than ${names.slice(0, -1).join(', ')} and ${names.at(-1)} are forbidden`),
  ]
}

const counts = [
  'replicas',
  'readyReplicas',
  'currentReplicas',
  'updatedReplicas',
  'availableReplicas',
  'observedGeneration',
  'collisionCount',
] as const
export function validateStatefulSetStatus(status: StatefulSetStatus, old: StatefulSetStatus, at: Path): FieldError[] {
  const errors = counts.flatMap(name => validateNonNegative(status[name], at.child(name)))
  for (const name of ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'] as const)
    if ((status[name] ?? 0) > status.replicas) errors.push(invalid(at.child(name), status[name], 'cannot be greater than status.replicas'))
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0))
    errors.push(invalid(at.child('availableReplicas'), status.availableReplicas, 'cannot be greater than status.readyReplicas'))
  return [...errors, ...validateNotDecremented(status.collisionCount, old.collisionCount, at.child('collisionCount'))]
}
