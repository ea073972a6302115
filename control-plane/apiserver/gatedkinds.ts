/** The kinds as they are with features that can be asked for. */
import { horizontalPodAutoscaler, horizontalPodAutoscalerToZero } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { Resource } from '#shared/api/resource.ts'
import type { FeatureGates } from './featuregates.ts'

export const gatedKinds = (kinds: readonly Resource[], { HPAScaleToZero }: FeatureGates): readonly Resource[] =>
  HPAScaleToZero ? kinds.map(kind => (kind === horizontalPodAutoscaler ? horizontalPodAutoscalerToZero : kind)) : kinds
