/** Metrics as the annotations of autoscaling/v1 have them: the types of that version, which is served without them. */
import type { LabelSelector } from '../meta/labelselector.ts'
import type { CrossVersionObjectReference, MetricSpec, MetricStatus } from './metrics.ts'

interface Named {
  metricName?: string | undefined
  selector?: LabelSelector | undefined
}
interface Spec {
  name?: string | undefined
  container?: string | undefined
  targetAverageUtilization?: number | undefined
  targetAverageValue?: string | undefined
}
interface Status {
  name?: string | undefined
  container?: string | undefined
  currentAverageUtilization?: number | undefined
  currentAverageValue?: string | undefined
}
export interface OldMetricSpec {
  type: string
  object?: Named & { target?: CrossVersionObjectReference | undefined; targetValue?: string | undefined; averageValue?: string | undefined }
  pods?: Named & { targetAverageValue?: string | undefined }
  resource?: Spec
  containerResource?: Spec
  external?: {
    metricName?: string
    metricSelector?: LabelSelector | undefined
    targetValue?: string | undefined
    targetAverageValue?: string | undefined
  }
}
export interface OldMetricStatus {
  type: string
  object?: Named & {
    target?: CrossVersionObjectReference | undefined
    currentValue?: string | undefined
    averageValue?: string | undefined
  }
  pods?: Named & { currentAverageValue?: string | undefined }
  resource?: Status
  containerResource?: Status
  external?: {
    metricName?: string
    metricSelector?: LabelSelector | undefined
    currentValue?: string | undefined
    currentAverageValue?: string | undefined
  }
}

/** Without what is undefined; Go's zero of an amount that is no pointer is written. */
export function olderSpec({ type, object, pods, resource, containerResource, external }: MetricSpec): OldMetricSpec {
  return {
    type,
    ...(object && {
      object: {
        target: object.describedObject,
        metricName: object.metric.name,
        targetValue: object.target.value ?? '0',
        selector: object.metric.selector,
        averageValue: object.target.averageValue,
      },
    }),
    ...(pods && {
      pods: { metricName: pods.metric.name, targetAverageValue: pods.target.averageValue ?? '0', selector: pods.metric.selector },
    }),
    ...(resource && { resource: amounts(resource) }),
    ...(containerResource && { containerResource: { ...amounts(containerResource), container: containerResource.container } }),
    ...(external && {
      external: {
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        targetValue: external.target.value,
        targetAverageValue: external.target.averageValue,
      },
    }),
  }
}
const amounts = ({ name, target }: NonNullable<MetricSpec['resource']>): Spec => ({
  name,
  targetAverageUtilization: target.averageUtilization,
  targetAverageValue: target.averageValue,
})

export function newerSpec({ type, object, pods, resource, containerResource, external }: OldMetricSpec): MetricSpec {
  const target = ({ targetAverageUtilization: percent, targetAverageValue: value }: Spec) => ({
    type: percent === undefined ? 'AverageValue' : 'Utilization',
    averageValue: value,
    averageUtilization: percent,
  })
  return {
    type,
    ...(object && {
      object: {
        describedObject: object.target ?? { kind: '', name: '' },
        target: {
          type: object.averageValue === undefined ? 'Value' : 'AverageValue',
          value: object.targetValue ?? '0',
          averageValue: object.averageValue,
        },
        metric: { name: object.metricName ?? '', selector: object.selector },
      },
    }),
    ...(pods && {
      pods: {
        metric: { name: pods.metricName ?? '', selector: pods.selector },
        target: { type: 'AverageValue', averageValue: pods.targetAverageValue ?? '0' },
      },
    }),
    ...(resource && { resource: { name: resource.name ?? '', target: target(resource) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name ?? '',
        target: target(containerResource),
        container: containerResource.container ?? '',
      },
    }),
    ...(external && {
      external: {
        metric: { name: external.metricName ?? '', selector: external.metricSelector },
        target: {
          type: external.targetValue === undefined ? 'AverageValue' : 'Value',
          value: external.targetValue,
          averageValue: external.targetAverageValue,
        },
      },
    }),
  }
}

export function olderStatus({ type, object, pods, resource, containerResource, external }: MetricStatus): OldMetricStatus {
  return {
    type,
    ...(object && {
      object: {
        target: object.describedObject,
        metricName: object.metric.name,
        currentValue: object.current.value ?? '0',
        selector: object.metric.selector,
        averageValue: object.current.averageValue,
      },
    }),
    ...(pods && {
      pods: { metricName: pods.metric.name, currentAverageValue: pods.current.averageValue ?? '0', selector: pods.metric.selector },
    }),
    ...(resource && { resource: values(resource) }),
    ...(containerResource && { containerResource: { ...values(containerResource), container: containerResource.container } }),
    ...(external && {
      external: {
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        currentValue: external.current.value ?? '0',
        currentAverageValue: external.current.averageValue,
      },
    }),
  }
}
const values = ({ name, current }: NonNullable<MetricStatus['resource']>): Status => ({
  name,
  currentAverageUtilization: current.averageUtilization,
  currentAverageValue: current.averageValue ?? '0',
})

export function newerStatus({ type, object, pods, resource, containerResource, external }: OldMetricStatus): MetricStatus {
  const current = (s: Status) => ({ averageValue: s.currentAverageValue ?? '0', averageUtilization: s.currentAverageUtilization })
  return {
    type,
    ...(object && {
      object: {
        metric: { name: object.metricName ?? '', selector: object.selector },
        current: { value: object.currentValue ?? '0', averageValue: object.averageValue },
        describedObject: object.target ?? { kind: '', name: '' },
      },
    }),
    ...(pods && {
      pods: {
        metric: { name: pods.metricName ?? '', selector: pods.selector },
        current: { averageValue: pods.currentAverageValue ?? '0' },
      },
    }),
    ...(resource && { resource: { name: resource.name ?? '', current: current(resource) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name ?? '',
        current: current(containerResource),
        container: containerResource.container ?? '',
      },
    }),
    ...(external && {
      external: {
        metric: { name: external.metricName ?? '', selector: external.metricSelector },
        current: { value: external.currentValue ?? '0', averageValue: external.currentAverageValue },
      },
    }),
  }
}
