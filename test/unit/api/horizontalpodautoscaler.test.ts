import { expect, it } from 'vitest'
import { horizontalPodAutoscaler, type HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { Path } from '#shared/machinery/field.ts'

const { fromHub, toHub } = horizontalPodAutoscaler.versions![1]!.conversion!
const older = (h: HorizontalPodAutoscaler) => JSON.parse(JSON.stringify((fromHub([h]) as readonly KubeObject[])[0]))
const newer = (h: KubeObject) => JSON.parse(JSON.stringify((toHub([h]) as readonly KubeObject[])[0]))

const selector = { matchLabels: { a: 'b' } }
const full: HorizontalPodAutoscaler = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'h', annotations: { note: 'x' } },
  spec: {
    scaleTargetRef: { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' },
    minReplicas: 2,
    maxReplicas: 9,
    metrics: [
      { type: 'Pods', pods: { metric: { name: 'hits', selector }, target: { type: 'AverageValue', averageValue: '1k' } } },
      {
        type: 'Object',
        object: {
          describedObject: { kind: 'Ingress', name: 'i', apiVersion: 'networking.k8s.io/v1' },
          target: { type: 'Value', value: '2k' },
          metric: { name: 'requests' },
        },
      },
      { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '30' } } },
      {
        type: 'ContainerResource',
        containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 60 } },
      },
      { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '500Mi' } } },
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
    ],
    behavior: {
      scaleUp: {
        stabilizationWindowSeconds: 0,
        selectPolicy: 'Max',
        policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }],
        tolerance: '50m',
      },
      scaleDown: { selectPolicy: 'Disabled', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] },
    },
  },
  status: {
    desiredReplicas: 3,
    currentReplicas: 2,
    currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageValue: '10m', averageUtilization: 42 } } }],
    conditions: [{ type: 'AbleToScale', status: 'True', reason: 'Ready' }],
  },
}

it('autoscaling/v1 shows the use of cpu, and has the rest in annotations', () => {
  const v1 = older(full)
  expect(v1).toMatchObject({
    apiVersion: 'autoscaling/v1',
    spec: { minReplicas: 2, maxReplicas: 9, targetCPUUtilizationPercentage: 50 },
    status: { desiredReplicas: 3, currentReplicas: 2, currentCPUUtilizationPercentage: 42 },
  })
  const { annotations } = v1.metadata
  expect(Object.keys(annotations).sort()).toEqual([
    ...['behavior', 'conditions', 'current-metrics', 'metrics'].map(name => `autoscaling.alpha.kubernetes.io/${name}`),
    'note',
  ])
  // Upstream's words: the fields of Go for what has no published type in that version.
  expect(annotations['autoscaling.alpha.kubernetes.io/behavior']).toBe(
    '{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":"50m"},' +
      '"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Disabled","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}',
  )
  expect(JSON.parse(annotations['autoscaling.alpha.kubernetes.io/metrics'])[0]).toEqual({
    type: 'Pods',
    pods: { metricName: 'hits', targetAverageValue: '1k', selector },
  })
})

it('nothing is lost on the way there and back', () => {
  expect(newer(older(full))).toEqual(JSON.parse(JSON.stringify(full)))
})

it('without metrics the use of cpu counts; annotations that cannot be read are dropped', () => {
  const hub = newer({
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: {
      name: 'h',
      annotations: { 'autoscaling.alpha.kubernetes.io/metrics': '{', 'autoscaling.alpha.kubernetes.io/behavior': '[]' },
    },
    spec: { scaleTargetRef: { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' }, maxReplicas: 3 },
  })
  expect(hub.metadata).toEqual({ name: 'h' })
  expect(hub.spec).toEqual({
    scaleTargetRef: { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' },
    maxReplicas: 3,
    metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }],
  })
})

it('tables show what the metrics are', () => {
  const cells = horizontalPodAutoscaler.columns!.map(c => c.cell(full))
  expect(cells.slice(0, 6)).toEqual(['h', 'Deployment/web', '<unknown>/1k, <unknown>/2k + 4 more...', '2', 9, 2])
})

it('rules', () => {
  const errors = (change: object) =>
    horizontalPodAutoscaler.validate!({ ...full, spec: { ...full.spec, ...change } }, new Path()).map(e => `${e.field}: ${e.message}`)
  expect(errors({})).toEqual([])
  expect(errors({ minReplicas: 0, maxReplicas: 0, scaleTargetRef: { kind: 'Deployment', name: '' } })).toEqual([
    'spec.minReplicas: Invalid value: 0: must be greater than or equal to 1',
    'spec.maxReplicas: Invalid value: 0: must be greater than 0',
    'spec.scaleTargetRef.name: Required value',
    'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
  ])
  expect(errors({ metrics: [{ type: 'Pods', resource: { name: '', target: { type: 'Value', value: '0' } } }] })).toEqual([
    'spec.metrics[0].resource.name: Required value: must specify a resource name',
    'spec.metrics[0].resource.target.value: Invalid value: "0": must be positive',
    'spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization',
    'spec.metrics[0].pods: Required value: must populate information for the given metric source',
  ])
  const target = { type: 'Utilization', averageUtilization: 70 }
  const ofContainer = (name: string) => [{ type: 'ContainerResource', containerResource: { name, container: 'c', target } }]
  expect(errors({ metrics: ofContainer('cpu') })).toEqual([])
  expect(errors({ metrics: ofContainer('requests') })).toEqual([
    'spec.metrics[0].containerResource.name: Invalid value: "requests": must be a standard resource type or fully qualified',
    'spec.metrics[0].containerResource.name: Invalid value: "requests": must be a standard resource for containers',
  ])
})
