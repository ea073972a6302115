/** Metrics of autoscaling/v2: what a HorizontalPodAutoscaler looks at, and what it saw. */
import { int32, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { labelSelector } from '../meta/labelselector.ts'

const name = (type: string): string => `io.k8s.api.autoscaling.v2.${type}`
export const metricTypes = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'] as const

export const crossVersionObjectReference = obj(name('CrossVersionObjectReference'), 'Names an object of the same namespace.', () => ({
  kind: req(1, str(), { doc: 'Kind of the object.', default: '' }),
  name: req(2, str(), { doc: 'Name of the object.', default: '' }),
  apiVersion: opt(3, str(), { doc: 'API version of the object.' }),
}))
export type CrossVersionObjectReference = Infer<typeof crossVersionObjectReference>
const metricIdentifier = obj(name('MetricIdentifier'), 'Names a metric.', () => ({
  name: req(1, str(), { doc: 'Name of the metric.', default: '' }),
  selector: opt(2, labelSelector, { doc: 'Narrows the metric down by its labels.' }),
}))
export type MetricIdentifier = Infer<typeof metricIdentifier>
const metricTarget = obj(name('MetricTarget'), 'What a metric should be.', () => ({
  type: req(1, str(['AverageValue', 'Utilization', 'Value']), { doc: 'Utilization, Value or AverageValue.', default: '' }),
  value: opt(2, quantity(), { doc: 'The wanted value.' }),
  averageValue: opt(3, quantity(), { doc: 'The wanted value, as the average of all pods.' }),
  averageUtilization: opt(4, int32(), { doc: 'The wanted use of what pods request, in percent, as the average of all pods.' }),
}))
const metricValueStatus = obj(name('MetricValueStatus'), 'What a metric is.', () => ({
  value: opt(1, quantity(), { doc: 'The value.' }),
  averageValue: opt(2, quantity(), { doc: 'The value, as the average of all pods.' }),
  averageUtilization: opt(3, int32(), { doc: 'The use of what pods request, in percent, as the average of all pods.' }),
}))
export type MetricValueStatus = Infer<typeof metricValueStatus>

const metric = (tag: number) => req(tag, metricIdentifier, { doc: 'The metric.', default: {} })
const target = req(2, metricTarget, { doc: 'What it should be.', default: {} })
const current = req(2, metricValueStatus, { doc: 'What it is.', default: {} })
const resourceName = req(1, str(), { doc: 'Name of the resource: cpu, memory.', default: '' })
const container = req(3, str(), { doc: 'Name of the container.', default: '' })
const describedObject = (tag: number) => req(tag, crossVersionObjectReference, { doc: 'The object that the metric is of.', default: {} })

const objectMetricSource = obj(name('ObjectMetricSource'), 'A metric of another object.', () => ({
  describedObject: describedObject(1),
  target,
  metric: metric(3),
}))
const podsMetricSource = obj(name('PodsMetricSource'), 'A metric of each pod.', () => ({ metric: metric(1), target }))
const resourceMetricSource = obj(name('ResourceMetricSource'), 'A resource that pods request.', () => ({ name: resourceName, target }))
const containerResourceMetricSource = obj(name('ContainerResourceMetricSource'), 'A resource that a container of pods requests.', () => ({
  name: resourceName,
  target,
  container,
}))
const externalMetricSource = obj(name('ExternalMetricSource'), 'A metric of something outside of the cluster.', () => ({
  metric: metric(1),
  target,
}))
const objectMetricStatus = obj(name('ObjectMetricStatus'), 'What a metric of another object is.', () => ({
  metric: metric(1),
  current,
  describedObject: describedObject(3),
}))
const podsMetricStatus = obj(name('PodsMetricStatus'), 'What a metric of each pod is.', () => ({ metric: metric(1), current }))
const resourceMetricStatus = obj(name('ResourceMetricStatus'), 'What use of a resource is.', () => ({ name: resourceName, current }))
const containerResourceMetricStatus = obj(name('ContainerResourceMetricStatus'), "What a container's use of a resource is.", () => ({
  name: resourceName,
  current,
  container,
}))
const externalMetricStatus = obj(name('ExternalMetricStatus'), 'What a metric from outside is.', () => ({ metric: metric(1), current }))

export const metricSpec = obj(name('MetricSpec'), 'A metric, and what it should be.', () => ({
  type: req(1, str(metricTypes), { doc: 'Which of the fields below is set.', default: '' }),
  object: opt(2, objectMetricSource, { doc: 'A metric of another object.' }),
  pods: opt(3, podsMetricSource, { doc: 'A metric of each pod.' }),
  resource: opt(4, resourceMetricSource, { doc: 'A resource that pods request.' }),
  containerResource: opt(7, containerResourceMetricSource, { doc: 'A resource that a container of pods requests.' }),
  external: opt(5, externalMetricSource, { doc: 'A metric of something outside of the cluster.' }),
}))
export type MetricSpec = Infer<typeof metricSpec>
export type MetricTarget = Infer<typeof metricTarget>
export const metricStatus = obj(name('MetricStatus'), 'A metric, and what it is.', () => ({
  type: req(1, str(metricTypes), { doc: 'Which of the fields below is set.', default: '' }),
  object: opt(2, objectMetricStatus, { doc: 'A metric of another object.' }),
  pods: opt(3, podsMetricStatus, { doc: 'A metric of each pod.' }),
  resource: opt(4, resourceMetricStatus, { doc: 'A resource that pods request.' }),
  containerResource: opt(7, containerResourceMetricStatus, { doc: 'A resource that a container of pods requests.' }),
  external: opt(5, externalMetricStatus, { doc: 'A metric of something outside of the cluster.' }),
}))
export type MetricStatus = Infer<typeof metricStatus>
