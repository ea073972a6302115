/** Rules of apps/v1 ReplicaSet and Deployment (pkg/apis/apps/validation). Paths are those of spec and status. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { amountOf, validateIntOrPercent, validateNotMoreThan100Percent } from '../../machinery/intstr.ts'
import { selects, selectorOf } from '../../machinery/labels.ts'
import { validatePodTemplateSpec, type PodTemplateSpec } from '../core/podtemplate.ts'
import { isEmptySelector, validateLabelSelector, type LabelSelector } from '../meta/labelselector.ts'
import { validateNonNegative, validateNotDecremented } from '../meta/validation.ts'
import type { Deployment, DeploymentStatus } from './deployment.ts'
import type { ReplicaSet } from './replicaset.ts'

/** The template must be among what the selector selects; an invalid selector is told about elsewhere. */
export function selectorErrors(selector: LabelSelector | undefined, template: PodTemplateSpec, at: Path): FieldError[] {
  const labels = template.metadata?.labels
  try {
    return selects(selector, labels) ? [] : [invalid(at.child('metadata', 'labels'), labels, '`selector` does not match template `labels`')]
  } catch {
    return []
  }
}

interface WithTemplate {
  replicas?: number | undefined
  selector?: LabelSelector | undefined
  template?: PodTemplateSpec | undefined
}

function validateSelectorAndTemplate(spec: WithTemplate, at: Path): FieldError[] {
  const path = at.child('selector')
  const errors: FieldError[] = []
  if (!spec.selector) errors.push(required(path))
  else {
    errors.push(...validateLabelSelector(spec.selector, {}, path))
    if (isEmptySelector(spec.selector)) errors.push(invalid(path, spec.selector, 'empty selector is invalid for deployment'))
  }
  try {
    selectorOf(spec.selector)
  } catch {
    return [...errors, invalid(path, spec.selector, 'invalid label selector')]
  }
  return [...errors, ...validateTemplate(spec, at.child('template'))]
}

function validateTemplate({ selector, template = {}, replicas = 0 }: WithTemplate, at: Path): FieldError[] {
  const errors: FieldError[] = []
  // An absent selector selects nothing, and so never the template.
  if (!(selector && isEmptySelector(selector)) && !selects(selector, template.metadata?.labels)) {
    errors.push(invalid(at.child('metadata', 'labels'), template.metadata?.labels, '`selector` does not match template `labels`'))
  }
  errors.push(...validatePodTemplateSpec(template, at))
  if (replicas > 1) errors.push(...validateReadOnlyDisks(template, at.child('spec', 'volumes')))
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') errors.push(notSupported(at.child('spec', 'restartPolicy'), policy ?? '', ['Always']))
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(forbidden(at.child('spec', 'activeDeadlineSeconds'), 'activeDeadlineSeconds in ReplicaSet is not Supported'))
  return errors
}

export function validateReadOnlyDisks(template: PodTemplateSpec, at: Path): FieldError[] {
  return (template.spec?.volumes ?? []).flatMap((v, i) =>
    v.gcePersistentDisk && !v.gcePersistentDisk.readOnly
      ? [
          invalid(
            at.index(i).child('gcePersistentDisk', 'readOnly'),
            false,
            'must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only',
          ),
        ]
      : [],
  )
}

export function validateReplicaSet({ spec }: ReplicaSet, at: Path): FieldError[] {
  return [
    ...validateNonNegative(spec.replicas, at.child('replicas')),
    ...validateNonNegative(spec.minReadySeconds, at.child('minReadySeconds')),
    ...validateSelectorAndTemplate(spec, at),
  ]
}

const counts = [
  'replicas',
  'updatedReplicas',
  'fullyLabeledReplicas',
  'readyReplicas',
  'availableReplicas',
  'unavailableReplicas',
  'terminatingReplicas',
  'observedGeneration',
] as const
type Counts = { readonly [name in (typeof counts)[number]]?: number | undefined }

function validateCounts(status: Counts, at: Path): FieldError[] {
  const errors = counts.flatMap(name => validateNonNegative(status[name], at.child(name)))
  for (const name of ['updatedReplicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status[name] ?? 0) > (status.replicas ?? 0))
      errors.push(invalid(at.child(name), status[name], 'cannot be greater than status.replicas'))
  }
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0))
    errors.push(invalid(at.child('availableReplicas'), status.availableReplicas, 'cannot be greater than readyReplicas'))
  return errors
}
export const validateReplicaSetStatus = (status: Counts, at: Path): FieldError[] => validateCounts(status, at)

export function validateDeployment({ spec }: Deployment, at: Path): FieldError[] {
  const deadline = at.child('progressDeadlineSeconds')
  const errors = [
    ...validateNonNegative(spec.replicas, at.child('replicas')),
    ...validateSelectorAndTemplate(spec, at),
    ...validateStrategy(spec.strategy ?? {}, at.child('strategy')),
    ...validateNonNegative(spec.minReadySeconds, at.child('minReadySeconds')),
    ...validateNonNegative(spec.revisionHistoryLimit, at.child('revisionHistoryLimit')),
    ...validateNonNegative(spec.progressDeadlineSeconds, deadline),
  ]
  if (spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)) {
    errors.push(invalid(deadline, spec.progressDeadlineSeconds, 'must be greater than minReadySeconds'))
  }
  return errors
}

function validateStrategy(strategy: NonNullable<Deployment['spec']['strategy']>, at: Path): FieldError[] {
  const path = at.child('rollingUpdate')
  if (strategy.type === 'Recreate')
    return strategy.rollingUpdate ? [forbidden(path, "may not be specified when strategy `type` is 'Recreate'")] : []
  if (strategy.type !== 'RollingUpdate') return [notSupported(at, strategy, ['Recreate', 'RollingUpdate'])]
  if (!strategy.rollingUpdate) return [required(path, 'this should be defaulted and never be nil')]
  const { maxUnavailable = 0, maxSurge = 0 } = strategy.rollingUpdate
  return [
    ...validateIntOrPercent(maxUnavailable, path.child('maxUnavailable')),
    ...validateIntOrPercent(maxSurge, path.child('maxSurge')),
    ...(amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0
      ? [invalid(path.child('maxUnavailable'), maxUnavailable, 'may not be 0 when `maxSurge` is 0')]
      : []),
    ...validateNotMoreThan100Percent(maxUnavailable, path.child('maxUnavailable')),
  ]
}

export function validateDeploymentStatus(status: DeploymentStatus, old: DeploymentStatus, at: Path): FieldError[] {
  return [
    ...validateCounts(status, at),
    ...validateNonNegative(status.collisionCount, at.child('collisionCount')),
    ...validateNotDecremented(status.collisionCount, old.collisionCount, at.child('collisionCount')),
  ]
}
