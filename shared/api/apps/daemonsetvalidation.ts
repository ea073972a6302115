/** Rules of apps/v1 DaemonSet (pkg/apis/apps/validation). Paths are those of spec and status. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { amountOf, validateIntOrPercent, validateNotMoreThan100Percent } from '../../machinery/intstr.ts'
import { validatePodTemplateSpec, type PodTemplateSpec } from '../core/podtemplate.ts'
import { isEmptySelector, validateLabelSelector } from '../meta/labelselector.ts'
import { validateNonNegative, validateNotDecremented } from '../meta/validation.ts'
import type { DaemonSet, DaemonSetStatus } from './daemonset.ts'
import { selectorErrors } from './validation.ts'

export function validateDaemonSet({ spec }: DaemonSet, at: Path): FieldError[] {
  const { selector } = spec
  const template: PodTemplateSpec = spec.template ?? {}
  const path = at.child('template')
  const errors = [...validateLabelSelector(selector, {}, at.child('selector')), ...selectorErrors(selector, template, path)]
  if (selector && isEmptySelector(selector)) errors.push(invalid(at.child('selector'), selector, 'empty selector is invalid for daemonset'))
  errors.push(...validatePodTemplateSpec(template, path))
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') errors.push(notSupported(path.child('spec', 'restartPolicy'), policy ?? '', ['Always']))
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(forbidden(path.child('spec', 'activeDeadlineSeconds'), 'activeDeadlineSeconds in DaemonSet is not Supported'))
  return [
    ...errors,
    ...validateNonNegative(spec.minReadySeconds, at.child('minReadySeconds')),
    ...validateUpdateStrategy(spec.updateStrategy ?? {}, at.child('updateStrategy')),
    ...validateNonNegative(spec.revisionHistoryLimit, at.child('revisionHistoryLimit')),
  ]
}

function validateUpdateStrategy(strategy: NonNullable<DaemonSet['spec']['updateStrategy']>, at: Path): FieldError[] {
  if (strategy.type === 'OnDelete') return []
  if (strategy.type !== 'RollingUpdate') return [notSupported(at, strategy, ['RollingUpdate', 'OnDelete'])]
  const path = at.child('rollingUpdate')
  if (!strategy.rollingUpdate) return [required(path)]
  const { maxUnavailable = 0, maxSurge = 0 } = strategy.rollingUpdate
  const limits = [
    [maxUnavailable, path.child('maxUnavailable')],
    [maxSurge, path.child('maxSurge')],
  ] as const
  const errors = [
    ...limits.flatMap(([value, here]) => validateIntOrPercent(value, here)),
    ...limits.flatMap(([value, here]) => validateNotMoreThan100Percent(value, here)),
  ]
  const [mayMiss, maySurge] = [amountOf(maxUnavailable) !== 0, amountOf(maxSurge) !== 0]
  if (mayMiss && maySurge) errors.push(invalid(path.child('maxSurge'), maxSurge, 'may not be set when maxUnavailable is non-zero'))
  if (!mayMiss && !maySurge) errors.push(required(path.child('maxUnavailable'), 'cannot be 0 when maxSurge is 0'))
  return errors
}

const counts = [
  'currentNumberScheduled',
  'numberMisscheduled',
  'desiredNumberScheduled',
  'numberReady',
  'observedGeneration',
  'updatedNumberScheduled',
  'numberAvailable',
  'numberUnavailable',
  'collisionCount',
] as const
export const validateDaemonSetStatus = (status: DaemonSetStatus, old: DaemonSetStatus, at: Path): FieldError[] => [
  ...counts.flatMap(name => validateNonNegative(status[name], at.child(name))),
  ...validateNotDecremented(status.collisionCount, old.collisionCount, at.child('collisionCount')),
]
