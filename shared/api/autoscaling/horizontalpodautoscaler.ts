/**
 * autoscaling/v2 HorizontalPodAutoscaler: scales a workload by metrics. Also served as autoscaling/v1.
 * https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
 */
import { int32, int64, list, obj, opt, quantity, req, str, time, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { horizontalPodAutoscalers } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateNonNegative } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { horizontalPodAutoscalerV1 } from './horizontalpodautoscalerv1.ts'
import { validateHorizontalPodAutoscaler } from './horizontalpodautoscalervalidation.ts'
import { crossVersionObjectReference, metricSpec, metricStatus, type MetricSpec, type MetricStatus } from './metrics.ts'

const hpaScalingPolicy = obj('io.k8s.api.autoscaling.v2.HPAScalingPolicy', 'How much may change in some time.', () => ({
  type: req(1, str(['Percent', 'Pods']), { doc: 'Pods or Percent.', default: '' }),
  value: req(2, int32(), { doc: 'How many, or how many percent.', default: 0 }),
  periodSeconds: req(3, int32(), { doc: 'In which time.', default: 0 }),
}))
const hpaScalingRules = obj('io.k8s.api.autoscaling.v2.HPAScalingRules', 'How fast the number of pods changes in one direction.', () => ({
  stabilizationWindowSeconds: opt(3, int32(), { doc: 'For how long past wishes are considered.' }),
  selectPolicy: opt(1, str(['Disabled', 'Max', 'Min']), { doc: 'Which policy counts: Max, Min, or Disabled.', pointer: true }),
  policies: opt(2, list(hpaScalingPolicy), { doc: 'How much may change in some time.', listType: 'atomic' }),
  tolerance: opt(4, quantity(), { doc: 'How far from its target a metric may be before anything is done.' }),
}))
export type HPAScalingRules = Infer<typeof hpaScalingRules>
const horizontalPodAutoscalerBehavior = obj(
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior',
  'How fast the number of pods changes.',
  () => ({
    scaleUp: opt(1, hpaScalingRules, { doc: 'How fast it grows.' }),
    scaleDown: opt(2, hpaScalingRules, { doc: 'How fast it shrinks.' }),
  }),
)
const horizontalPodAutoscalerSpec = obj(
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec',
  'What is scaled, and by which metrics.',
  () => ({
    scaleTargetRef: req(1, crossVersionObjectReference, { doc: 'What is scaled.', default: {} }),
    minReplicas: opt(2, int32(), { doc: 'The least number of pods.' }),
    maxReplicas: req(3, int32(), { doc: 'The greatest number of pods.', default: 0 }),
    metrics: opt(4, list(metricSpec), { doc: 'The metric that asks for most pods counts.', listType: 'atomic' }),
    behavior: opt(5, horizontalPodAutoscalerBehavior, { doc: 'How fast the number of pods changes.' }),
  }),
)
export const horizontalPodAutoscalerCondition = conditionSchema(
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition',
  'One aspect of the state of an autoscaler.',
  { tags: { lastTransitionTime: 3, reason: 4, message: 5 }, types: 'AbleToScale, ScalingActive or ScalingLimited.' },
)
const horizontalPodAutoscalerStatus = obj(
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus',
  'What the controller saw last.',
  () => ({
    observedGeneration: opt(1, int64(), { doc: 'The generation that the controller saw.' }),
    lastScaleTime: opt(2, time(), { doc: 'When the number of pods was last changed.', pointer: true }),
    currentReplicas: opt(3, int32(), { doc: 'Number of pods.', pointer: false }),
    desiredReplicas: req(4, int32(), { doc: 'Wanted number of pods.', default: 0 }),
    currentMetrics: opt(5, list(metricStatus), { doc: 'What the metrics are.', listType: 'atomic', keepsEmpty: true }),
    conditions: opt(6, list(horizontalPodAutoscalerCondition), {
      doc: 'How it is.',
      listType: 'map',
      listMapKeys: ['type'],
      mergeKey: 'type',
      patchStrategy: 'merge',
    }),
  }),
)
const horizontalPodAutoscalerSchema = obj('io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler', 'Scales a workload by metrics.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, horizontalPodAutoscalerSpec, { doc: 'What is scaled, and by which metrics.', default: {} }),
  status: opt(3, horizontalPodAutoscalerStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type HorizontalPodAutoscaler = Stored<Infer<typeof horizontalPodAutoscalerSchema>>

/** What counts when no metric is given. */
export const defaultMetric = (): MetricSpec => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } },
})

const defaultRules = (): { readonly scaleUp: HPAScalingRules; readonly scaleDown: HPAScalingRules } => ({
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ],
  },
  scaleDown: { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] },
})

function defaults({ spec }: HorizontalPodAutoscaler): void {
  spec.minReplicas ??= 1
  if (!spec.metrics?.length) spec.metrics = [defaultMetric()]
  if (!spec.behavior) return
  const rules = defaultRules()
  spec.behavior.scaleUp = { ...rules.scaleUp, ...spec.behavior.scaleUp }
  spec.behavior.scaleDown = { ...rules.scaleDown, ...spec.behavior.scaleDown }
}

const percent = (value: number | undefined, absent: string): string => (value === undefined ? absent : `${value}%`)
const unknown = '<unknown>'

function metricText(spec: MetricSpec, status: MetricStatus | undefined): string {
  switch (spec.type) {
    case 'External':
    case 'Object': {
      const field = spec.type === 'External' ? 'external' : 'object'
      const [target, now] = [spec[field]?.target, status?.[field]?.current]
      if (target?.averageValue !== undefined) return `${now?.averageValue ?? unknown}/${target.averageValue} (avg)`
      return `${now ? (now.value ?? unknown) : unknown}/${target?.value ?? ''}`
    }
    case 'Pods':
      return `${status?.pods?.current.averageValue ?? unknown}/${spec.pods?.target.averageValue ?? ''}`
    case 'Resource':
    case 'ContainerResource': {
      const field = spec.type === 'Resource' ? 'resource' : 'containerResource'
      const [source, now] = [spec[field], status?.[field]?.current]
      if (source?.target.averageValue !== undefined) return `${source.name}: ${now?.averageValue ?? unknown}/${source.target.averageValue}`
      return `${source?.name ?? ''}: ${percent(now?.averageUtilization, unknown)}/${percent(source?.target.averageUtilization, '<auto>')}`
    }
    default:
      return '<unknown type>'
  }
}
function metricsText({ spec, status }: HorizontalPodAutoscaler): string {
  const texts = (spec.metrics ?? []).map((m, i) => metricText(m, status?.currentMetrics?.[i]))
  if (texts.length === 0) return '<none>'
  const shown = texts.slice(0, 2).join(', ')
  return texts.length > 2 ? `${shown} + ${texts.length - 2} more...` : shown
}

export const horizontalPodAutoscaler = resource<HorizontalPodAutoscaler>({
  ...horizontalPodAutoscalers,
  schema: horizontalPodAutoscalerSchema,
  singular: 'horizontalpodautoscaler',
  shortNames: ['hpa'],
  categories: ['all'],
  versions: [{ version: 'v2', schema: horizontalPodAutoscalerSchema }, horizontalPodAutoscalerV1],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Reference', type: 'string', doc: 'What is scaled', cell: h => `${h.spec.scaleTargetRef.kind}/${h.spec.scaleTargetRef.name}` },
    { name: 'Targets', type: 'string', doc: 'What the metrics are, and what they should be', cell: metricsText },
    { name: 'MinPods', type: 'string', doc: 'The least number of pods', cell: h => String(h.spec.minReplicas ?? '<unset>') },
    { name: 'MaxPods', type: 'string', doc: 'The greatest number of pods', cell: h => h.spec.maxReplicas },
    { name: 'Replicas', type: 'string', doc: 'Number of pods', cell: h => h.status?.currentReplicas ?? 0 },
    ageColumn,
  ],
  defaults,
  prepareForCreate: h => {
    h.status = { desiredReplicas: 0 }
  },
  validate: (h, at) => validateHorizontalPodAutoscaler(h.spec, 1, at.child('spec')),
  validateUpdate: (h, _, at, ctx) =>
    ctx.subresource === 'status'
      ? (['currentReplicas', 'desiredReplicas'] as const).flatMap(name => validateNonNegative(h.status?.[name], at.child('status', name)))
      : [],
})
/** The same with upstream's feature HPAScaleToZero. */
export const horizontalPodAutoscalerToZero = resource<HorizontalPodAutoscaler>({
  ...horizontalPodAutoscaler,
  validate: (h, at) => validateHorizontalPodAutoscaler(h.spec, 0, at.child('spec')),
})
