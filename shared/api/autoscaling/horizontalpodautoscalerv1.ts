/**
 * autoscaling/v1 HorizontalPodAutoscaler, which knows the use of cpu only: the rest is in annotations, in upstream's form
 * (pkg/apis/autoscaling/v1/conversion.go), so that nothing is lost on the way there and back.
 */
import { int32, int64, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type KubeObject, type Stored } from '../meta/objectmeta.ts'
import { convertEach, type Version } from '../resource.ts'
import { defaultMetric, type HorizontalPodAutoscaler, type HPAScalingRules } from './horizontalpodautoscaler.ts'
import type { MetricSpec, MetricStatus } from './metrics.ts'
import { olderSpec, olderStatus, newerSpec, newerStatus, type OldMetricSpec, type OldMetricStatus } from './metricsv1.ts'

const crossVersionObjectReference = obj(
  'io.k8s.api.autoscaling.v1.CrossVersionObjectReference',
  'Names an object of the same namespace.',
  () => ({
    kind: req(1, str(), { doc: 'Kind of the object.', default: '' }),
    name: req(2, str(), { doc: 'Name of the object.', default: '' }),
    apiVersion: opt(3, str(), { doc: 'API version of the object.' }),
  }),
  { atomic: true },
)
const horizontalPodAutoscalerSpec = obj('io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec', 'What is scaled, and when.', () => ({
  scaleTargetRef: req(1, crossVersionObjectReference, { doc: 'What is scaled.', default: {} }),
  minReplicas: opt(2, int32(), { doc: 'The least number of pods.' }),
  maxReplicas: req(3, int32(), { doc: 'The greatest number of pods.', default: 0 }),
  targetCPUUtilizationPercentage: opt(4, int32(), { doc: 'The wanted use of the cpu that pods request, in percent.' }),
}))
const horizontalPodAutoscalerStatus = obj(
  'io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerStatus',
  'What the controller saw last.',
  () => ({
    observedGeneration: opt(1, int64(), { doc: 'The generation that the controller saw.' }),
    lastScaleTime: opt(2, time(), { doc: 'When the number of pods was last changed.', pointer: true }),
    currentReplicas: req(3, int32(), { doc: 'Number of pods.', default: 0 }),
    desiredReplicas: req(4, int32(), { doc: 'Wanted number of pods.', default: 0 }),
    currentCPUUtilizationPercentage: opt(5, int32(), { doc: 'The use of the cpu that pods request, in percent.' }),
  }),
)
const horizontalPodAutoscalerSchema = obj(
  'io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler',
  'Scales a workload by its use of cpu.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, horizontalPodAutoscalerSpec, { doc: 'What is scaled, and when.', default: {} }),
    status: opt(3, horizontalPodAutoscalerStatus, { doc: 'What the controller saw last.', default: {} }),
  }),
)
type HorizontalPodAutoscalerV1 = Stored<Infer<typeof horizontalPodAutoscalerSchema>>

const prefix = 'autoscaling.alpha.kubernetes.io/'
const annotations = {
  metrics: `${prefix}metrics`,
  currentMetrics: `${prefix}current-metrics`,
  conditions: `${prefix}conditions`,
  behavior: `${prefix}behavior`,
} as const
type Annotations = NonNullable<HorizontalPodAutoscaler['metadata']['annotations']>
const withoutThem = (given: Annotations | undefined): Annotations =>
  Object.fromEntries(Object.entries(given ?? {}).filter(([key]) => !Object.values(annotations).some(a => a === key)))

const isCpu = (m: { type: string; resource?: { name: string } | undefined }): boolean => m.type === 'Resource' && m.resource?.name === 'cpu'
const cpuPercent = (m: MetricSpec): number | undefined => (isCpu(m) ? m.resource?.target.averageUtilization : undefined)

function fromHub({ metadata, spec, status, ...rest }: HorizontalPodAutoscaler): HorizontalPodAutoscalerV1 {
  const { metrics = [], behavior, ...others } = spec
  const { currentMetrics, conditions, ...numbers } = status ?? { desiredReplicas: 0 }
  const now = currentMetrics
    ?.filter(isCpu)
    .map(m => m.resource?.current.averageUtilization)
    .findLast(v => v !== undefined)
  const target = metrics.find(isCpu)?.resource?.target.averageUtilization
  const kept = withoutThem(metadata.annotations)
  const older = metrics.filter(m => cpuPercent(m) === undefined).map(olderSpec)
  if (older.length > 0) kept[annotations.metrics] = JSON.stringify(older)
  if (currentMetrics?.length) kept[annotations.currentMetrics] = JSON.stringify(currentMetrics.map(olderStatus))
  if (behavior)
    kept[annotations.behavior] = JSON.stringify({ ScaleUp: internalRules(behavior.scaleUp), ScaleDown: internalRules(behavior.scaleDown) })
  if (conditions?.length) kept[annotations.conditions] = JSON.stringify(conditions)
  const { annotations: _annotations, ...meta } = metadata
  return {
    ...rest,
    apiVersion: 'autoscaling/v1',
    metadata: Object.keys(kept).length > 0 ? { ...meta, annotations: kept } : meta,
    spec: { ...others, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      ...numbers,
      currentReplicas: numbers.currentReplicas ?? 0,
      ...(now === undefined ? {} : { currentCPUUtilizationPercentage: now }),
    },
  }
}

function toHub({ metadata, spec, status, ...rest }: HorizontalPodAutoscalerV1): HorizontalPodAutoscaler {
  const { targetCPUUtilizationPercentage: target, ...others } = spec
  const { currentCPUUtilizationPercentage: now, ...numbers } = status ?? { currentReplicas: 0, desiredReplicas: 0 }
  const given = metadata.annotations ?? {}
  const cpu: MetricSpec[] =
    target === undefined
      ? []
      : [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: target } } }]
  const older = parsed<OldMetricSpec[]>(given[annotations.metrics], Array.isArray)
  const metrics = [...(older ?? []).map(newerSpec), ...cpu]
  const current: MetricStatus[] | undefined =
    parsed<OldMetricStatus[]>(given[annotations.currentMetrics], Array.isArray)?.map(newerStatus) ??
    (now === undefined ? undefined : [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: now } } }])
  const behavior = parsed<{ [name: string]: unknown }>(given[annotations.behavior], isObject)
  const up = rulesOf(behavior && fieldOf(behavior, 'ScaleUp'))
  const down = rulesOf(behavior && fieldOf(behavior, 'ScaleDown'))
  const conditions = parsed<NonNullable<HorizontalPodAutoscaler['status']>['conditions']>(given[annotations.conditions], Array.isArray)
  const kept = withoutThem(metadata.annotations)
  const { annotations: _annotations, ...meta } = metadata
  return {
    ...rest,
    apiVersion: 'autoscaling/v2',
    metadata: Object.keys(kept).length > 0 ? { ...meta, annotations: kept } : meta,
    spec: {
      ...others,
      metrics: metrics.length > 0 ? metrics : [defaultMetric()],
      ...(up || down ? { behavior: { ...(up ? { scaleUp: up } : {}), ...(down ? { scaleDown: down } : {}) } } : {}),
    },
    status: { ...numbers, ...(current ? { currentMetrics: current } : {}), ...(conditions ? { conditions } : {}) },
  }
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
/** What an annotation holds; undefined when it is absent, no JSON, or of another form. */
function parsed<T>(text: string | undefined, fits: (value: unknown) => boolean): T | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return fits(value) ? (value as T) : undefined
  } catch {
    return undefined
  }
}

/** Upstream writes its internal type there, which has no names for JSON: those of the fields in Go, nothing left out. */
const internalRules = (rules: HPAScalingRules | undefined): object | null =>
  rules
    ? {
        StabilizationWindowSeconds: rules.stabilizationWindowSeconds ?? null,
        SelectPolicy: rules.selectPolicy ?? null,
        Policies: rules.policies?.map(p => ({ Type: p.type, Value: p.value, PeriodSeconds: p.periodSeconds })) ?? null,
        Tolerance: rules.tolerance ?? null,
      }
    : null

/** Go reads names of fields in any case. */
const fieldOf = (object: unknown, name: string): unknown =>
  isObject(object) ? Object.entries(object as object).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1] : undefined

function rulesOf(value: unknown): HPAScalingRules | undefined {
  if (!isObject(value)) return undefined
  const number = (v: unknown): number => (typeof v === 'number' ? v : 0)
  const text = (v: unknown): string => (typeof v === 'string' ? v : '')
  const [window, select, policies, tolerance] = ['StabilizationWindowSeconds', 'SelectPolicy', 'Policies', 'Tolerance'].map(n =>
    fieldOf(value, n),
  )
  return {
    ...(typeof window === 'number' ? { stabilizationWindowSeconds: window } : {}),
    ...(typeof select === 'string' ? { selectPolicy: select } : {}),
    ...(Array.isArray(policies)
      ? {
          policies: policies.map(p => ({
            type: text(fieldOf(p, 'Type')),
            value: number(fieldOf(p, 'Value')),
            periodSeconds: number(fieldOf(p, 'PeriodSeconds')),
          })),
        }
      : {}),
    ...(typeof tolerance === 'string' ? { tolerance } : {}),
  }
}

export const horizontalPodAutoscalerV1: Version<HorizontalPodAutoscaler> = {
  version: 'v1',
  schema: horizontalPodAutoscalerSchema,
  defaults: object => {
    const { spec } = object as unknown as HorizontalPodAutoscalerV1
    if (spec) spec.minReplicas ??= 1
  },
  conversion: {
    toHub: convertEach(object => toHub(object as unknown as HorizontalPodAutoscalerV1)),
    fromHub: convertEach(hub => fromHub(hub) as unknown as KubeObject),
  },
}
