/** Rules of autoscaling HorizontalPodAutoscaler (pkg/apis/autoscaling/validation). */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, nameIsPathSegment } from '../../machinery/names.ts'
import { compareQuantity } from '../../machinery/quantity.ts'
import { containerResourceName } from '../core/resourcenames.ts'
import type { HorizontalPodAutoscaler, HPAScalingRules } from './horizontalpodautoscaler.ts'
import { metricTypes, type CrossVersionObjectReference, type MetricSpec, type MetricTarget } from './metrics.ts'

const maxPeriodSeconds = 1800
const maxStabilizationWindowSeconds = 3600
const selectPolicies = ['Disabled', 'Max', 'Min']
const policyTypes = ['Percent', 'Pods']

/** `least` is how few replicas it may ask for. */
export function validateHorizontalPodAutoscaler(spec: HorizontalPodAutoscaler['spec'], least: 0 | 1, at: Path): FieldError[] {
  const { minReplicas: min, maxReplicas: max } = spec
  const errors: FieldError[] = []
  if (min !== undefined && min < least) errors.push(invalid(at.child('minReplicas'), min, `must be greater than or equal to ${least}`))
  if (max < 1) errors.push(invalid(at.child('maxReplicas'), max, 'must be greater than 0'))
  if (min !== undefined && max < min) errors.push(invalid(at.child('maxReplicas'), max, 'must be greater than or equal to `minReplicas`'))
  errors.push(...validateReference(spec.scaleTargetRef, true, at.child('scaleTargetRef')))
  errors.push(...(spec.metrics ?? []).flatMap((metric, i) => validateMetric(metric, at.child('metrics').index(i))))
  if (min === 0 && !spec.metrics?.some(m => m.type === 'Object' || m.type === 'External'))
    errors.push(forbidden(at.child('metrics'), 'must specify at least one Object or External metric to support scaling to zero replicas'))
  for (const way of ['scaleUp', 'scaleDown'] as const) {
    const rules = spec.behavior?.[way]
    if (rules) errors.push(...validateRules(rules, at.child('behavior', way)))
  }
  return errors
}

const segment = (value: string, at: Path): FieldError[] =>
  value === '' ? [required(at)] : nameIsPathSegment(value, false).map(m => invalid(at, value, m))

/** Of the core group only a replication controller can be scaled. */
function validateReference({ kind, name, apiVersion = '' }: CrossVersionObjectReference, scaled: boolean, at: Path): FieldError[] {
  const errors = [...segment(kind, at.child('kind')), ...segment(name, at.child('name'))]
  const parts = apiVersion.split('/')
  if (parts.length > 2) errors.push(invalid(at.child('apiVersion'), apiVersion, `unexpected GroupVersion string: ${apiVersion}`))
  else if (scaled && kind !== 'ReplicationController' && (parts.length < 2 || parts[0] === ''))
    errors.push(invalid(at.child('apiVersion'), apiVersion, 'apiVersion must specify API group'))
  return errors
}

const sources = {
  Object: 'object',
  External: 'external',
  Pods: 'pods',
  Resource: 'resource',
  ContainerResource: 'containerResource',
} as const

function validateMetric(metric: MetricSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { type } = metric
  const isKnown = metricTypes.some(t => t === type)
  if (!type) errors.push(required(at.child('type'), 'must specify a metric source type'))
  // Upstream says it twice.
  if (!isKnown) errors.push(notSupported(at.child('type'), type, metricTypes), notSupported(at.child('type'), type, metricTypes))
  const present = Object.values(sources).filter(source => metric[source] !== undefined)
  if (present[0]) errors.push(...validateSource(metric, present[0], at.child(present[0])))
  const expected = isKnown ? sources[type as keyof typeof sources] : undefined
  if (expected && !metric[expected]) errors.push(required(at.child(expected), 'must populate information for the given metric source'))
  if (present.length !== 1)
    for (const other of present)
      if (other !== expected) errors.push(forbidden(at.child(other), 'must populate the given metric source only'))
  return errors
}

function validateSource(metric: MetricSpec, source: (typeof sources)[keyof typeof sources], at: Path): FieldError[] {
  const { object, external, pods } = metric
  const target = metric[source]!.target
  const path = at.child('target')
  const errors: FieldError[] = []
  const named = (object ?? external ?? pods)?.metric
  if (source === 'object') errors.push(...validateReference(object!.describedObject, false, at.child('describedObject')))
  if (source === 'object' || source === 'external' || source === 'pods') {
    const name = metric[source]!.metric.name
    if (named)
      errors.push(
        ...(name ? segment(name, at.child('metric', 'name')) : [required(at.child('metric', 'name'), 'must specify a metric name')]),
      )
  } else errors.push(...validateResource(metric[source]!, at))
  errors.push(...validateTarget(target, path))
  const { value, averageValue, averageUtilization } = target
  switch (source) {
    case 'object':
      if (value === undefined && averageValue === undefined)
        errors.push(required(path.child('averageValue'), 'must set either a target value or averageValue'))
      return errors
    case 'external':
      if (value === undefined && averageValue === undefined)
        errors.push(required(path.child('averageValue'), 'must set either a target value for metric or a per-pod target'))
      if (value !== undefined && averageValue !== undefined)
        errors.push(forbidden(path.child('value'), 'may not set both a target value for metric and a per-pod target'))
      return errors
    case 'pods':
      if (averageValue === undefined) errors.push(required(path.child('averageValue'), 'must specify a positive target averageValue'))
      return errors
    default:
      if (averageUtilization === undefined && averageValue === undefined)
        errors.push(required(path.child('averageUtilization'), 'must set either a target raw value or a target utilization'))
      if (averageUtilization !== undefined && averageValue !== undefined)
        errors.push(forbidden(path.child('averageValue'), 'may not set both a target raw value and a target utilization'))
      return errors
  }
}

function validateResource(source: { name: string; container?: string }, at: Path): FieldError[] {
  const errors = source.name ? [] : [required(at.child('name'), 'must specify a resource name')]
  if (source.container === undefined) return errors
  if (source.name) errors.push(...containerResourceName(source.name, at.child('name')))
  if (source.container === '') return [...errors, required(at.child('container'), 'must specify a container')]
  return [...errors, ...isDNS1123Label(source.container).map(m => invalid(at.child('container'), source.container, m))]
}

function validateTarget({ type, value, averageValue, averageUtilization }: MetricTarget, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!type) errors.push(required(at.child('type'), 'must specify a metric target type'))
  if (!['Utilization', 'Value', 'AverageValue'].includes(type))
    errors.push(invalid(at.child('type'), type, 'must be either Utilization, Value, or AverageValue'))
  for (const [name, amount] of [
    ['value', value],
    ['averageValue', averageValue],
  ] as const)
    if (amount !== undefined && compareQuantity(amount, '0') <= 0) errors.push(invalid(at.child(name), amount, 'must be positive'))
  if (averageUtilization !== undefined && averageUtilization < 1)
    errors.push(invalid(at.child('averageUtilization'), averageUtilization, 'must be greater than 0'))
  return errors
}

function validateRules(rules: HPAScalingRules, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [], tolerance } = rules
  const windowAt = at.child('stabilizationWindowSeconds')
  if (window !== undefined && window < 0) errors.push(invalid(windowAt, window, 'must be greater than or equal to zero'))
  if (window !== undefined && window > maxStabilizationWindowSeconds)
    errors.push(invalid(windowAt, window, `must be less than or equal to ${maxStabilizationWindowSeconds}`))
  if (selectPolicy !== undefined && !selectPolicies.includes(selectPolicy))
    errors.push(notSupported(at.child('selectPolicy'), selectPolicy, selectPolicies))
  if (policies.length === 0) errors.push(required(at.child('policies'), 'must specify at least one Policy'))
  policies.forEach(({ type, value, periodSeconds }, i) => {
    const here = at.child('policies').index(i)
    if (!policyTypes.includes(type)) errors.push(notSupported(here.child('type'), type, policyTypes))
    if (value <= 0) errors.push(invalid(here.child('value'), value, 'must be greater than zero'))
    if (periodSeconds <= 0) errors.push(invalid(here.child('periodSeconds'), periodSeconds, 'must be greater than zero'))
    if (periodSeconds > maxPeriodSeconds)
      errors.push(invalid(here.child('periodSeconds'), periodSeconds, `must be less than or equal to ${maxPeriodSeconds}`))
  })
  if (tolerance !== undefined && compareQuantity(tolerance, '0') < 0)
    errors.push(invalid(at.child('tolerance'), tolerance, 'must be greater than or equal to 0'))
  return errors
}
