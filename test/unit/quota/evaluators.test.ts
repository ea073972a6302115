import { describe, expect, it } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import { countName, evaluatorOf, evaluatorsFor } from '#shared/quota/evaluator.ts'
import { persistentVolumeClaims } from '#shared/quota/persistentvolumeclaims.ts'
import { pods } from '#shared/quota/pods.ts'
import { resourceClaims } from '#shared/quota/resourceclaims.ts'
import { services } from '#shared/quota/services.ts'

const metadata = { name: 'x', namespace: 'n' }
const pod = (spec: Partial<Pod['spec']>, more: Partial<Pod> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  spec: { containers: [], ...spec },
  ...more,
})
const c = (name: string, requests: Record<string, string>, limits: Record<string, string> = {}) => ({
  name,
  resources: { requests, limits },
})

describe('pods', () => {
  it('use what they request and are limited to, under the names of quotas', () => {
    const p = pod({
      containers: [
        c('a', { cpu: '1', memory: '1Gi', 'hugepages-2Mi': '4Mi', 'x.y/gpu': '1' }, { cpu: '2', 'ephemeral-storage': '1Gi' }),
        c('b', { cpu: '500m' }),
      ],
      initContainers: [c('i', { cpu: '3' })],
    })
    expect(pods.usage(p)).toEqual({
      'count/pods': '1',
      pods: '1',
      cpu: '3',
      'requests.cpu': '3',
      memory: '1Gi',
      'requests.memory': '1Gi',
      'hugepages-2Mi': '4Mi',
      'requests.hugepages-2Mi': '4Mi',
      'requests.x.y/gpu': '1',
      'limits.cpu': '2',
      'limits.ephemeral-storage': '1Gi',
    })
  })
  it('use nothing but their place when they have ended', () => {
    const gone = { ...metadata, deletionTimestamp: '2020-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 }
    for (const more of [{ status: { phase: 'Failed' } }, { status: { phase: 'Succeeded' } }, { metadata: gone }])
      expect(pods.usage(pod({ containers: [c('a', { cpu: '1' })] }, more))).toEqual({ 'count/pods': '1' })
  })
  it('count with the larger of both while they are resized', () => {
    const p = pod(
      { containers: [c('a', { cpu: '1' })] },
      {
        status: {
          containerStatuses: [
            { name: 'a', ready: true, restartCount: 0, image: '', imageID: '', resources: {}, allocatedResources: { cpu: '2' } },
          ],
        },
      },
    )
    expect(pods.usage(p)['requests.cpu']).toBe('2')
    expect(pods.releases!(pod({}, { status: { phase: 'Failed' } }), p)).toBe(true)
    expect(pods.releases!(p, p)).toBe(false)
  })
  it('must say what they use of cpu and memory, unless they do as a whole', () => {
    const p = pod({ containers: [c('b', {}, { memory: '1' }), c('a', { cpu: '1' })], initContainers: [c('i', { cpu: '1' })] })
    expect(pods.constraints!(['requests.cpu', 'limits.memory', 'ephemeral-storage', 'pods'], p)).toBe(
      'must specify limits.memory for: a,i; requests.cpu for: b',
    )
    expect(pods.constraints!(['pods'], p)).toBeUndefined()
    expect(pods.constraints!(['cpu'], { ...p, spec: { ...p.spec, resources: { requests: { cpu: '1' } } } })).toBeUndefined()
  })
  it.each<[string, string, Partial<Pod>, boolean]>([
    ['Terminating', 'Exists', pod({ activeDeadlineSeconds: 0 }), true],
    ['Terminating', 'Exists', pod({}), false],
    ['NotTerminating', 'Exists', pod({}), true],
    ['BestEffort', 'Exists', pod({}, { status: { qosClass: 'BestEffort' } }), true],
    ['NotBestEffort', 'Exists', pod({}, { status: { qosClass: 'BestEffort' } }), false],
    ['PriorityClass', 'Exists', pod({ priorityClassName: 'high' }), true],
    ['PriorityClass', 'Exists', pod({}), false],
    ['PriorityClass', 'In', pod({ priorityClassName: 'high' }), true],
    ['PriorityClass', 'In', pod({ priorityClassName: 'low' }), false],
    ['PriorityClass', 'NotIn', pod({}), true],
    ['PriorityClass', 'NotIn', pod({ priorityClassName: 'high' }), false],
    ['PriorityClass', 'DoesNotExist', pod({}), true],
    ['CrossNamespacePodAffinity', 'Exists', pod({}), false],
    [
      'CrossNamespacePodAffinity',
      'Exists',
      pod({
        affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'k', namespaces: ['other'] }] } },
      }),
      true,
    ],
    [
      'CrossNamespacePodAffinity',
      'Exists',
      pod({
        affinity: {
          podAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'k', namespaceSelector: {} } }],
          },
        },
      }),
      true,
    ],
    ['VolumeAttributesClass', 'Exists', pod({}), false],
  ])('%s %s', (scopeName, operator, p, is) => {
    expect(pods.inScope!({ scopeName, operator, ...(operator.endsWith('In') ? { values: ['high'] } : {}) }, p as Pod)).toBe(is)
  })
})

it('Services use node ports and load balancers', () => {
  const usage = (spec: Partial<Service['spec']>) => {
    const used = services.usage({
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports: [{ port: 1 }, { port: 2, nodePort: 30000 }], ...spec } as Service['spec'],
    })
    return [used['services'], used['services.nodeports'], used['services.loadbalancers']]
  }
  expect(usage({ type: 'ClusterIP' })).toEqual(['1', '0', '0'])
  expect(usage({ type: 'NodePort' })).toEqual(['1', '2', '0'])
  expect(usage({ type: 'LoadBalancer' })).toEqual(['1', '2', '1'])
  expect(usage({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false })).toEqual(['1', '1', '1'])
})

describe('claims', () => {
  const claim = (storage: string, more: object = {}) => ({ metadata, spec: { resources: { requests: { storage } }, ...more } })
  it('use storage, also of their class', () => {
    expect(persistentVolumeClaims.usage(claim('1500m', { storageClassName: 'gold' }))).toEqual({
      'count/persistentvolumeclaims': '1',
      persistentvolumeclaims: '1',
      'requests.storage': '2',
      'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
      'gold.storageclass.storage.k8s.io/requests.storage': '2',
    })
    expect(persistentVolumeClaims.usage({ ...claim('1Gi'), status: { allocatedResources: { storage: '2Gi' } } })['requests.storage']).toBe(
      '2Gi',
    )
    expect(persistentVolumeClaims.matching(['requests.storage', 'gold.storageclass.storage.k8s.io/requests.storage', 'pods'])).toEqual([
      'requests.storage',
      'gold.storageclass.storage.k8s.io/requests.storage',
    ])
  })
  it('have classes of attributes', () => {
    const scope = { scopeName: 'VolumeAttributesClass', operator: 'In', values: ['fast'] }
    expect(persistentVolumeClaims.inScope!(scope, claim('1', { volumeAttributesClassName: 'fast' }))).toBe(true)
    expect(persistentVolumeClaims.inScope!(scope, claim('1'))).toBe(false)
    expect(
      persistentVolumeClaims.inScope!(scope, {
        ...claim('1'),
        status: { modifyVolumeStatus: { targetVolumeAttributesClassName: 'fast' } },
      }),
    ).toBe(true)
    expect(persistentVolumeClaims.inScope!({ scopeName: 'PriorityClass', operator: 'Exists' }, claim('1'))).toBe(false)
  })
  it('of devices use devices of classes', () => {
    const requests = [
      { exactly: { deviceClassName: 'gpu', count: 2 } },
      { firstAvailable: [{ deviceClassName: 'gpu', count: 3 }, { deviceClassName: 'cpu' }] },
      { exactly: { deviceClassName: 'all', allocationMode: 'All' } },
    ]
    expect(resourceClaims.usage({ metadata, spec: { devices: { requests } } })).toEqual({
      'count/resourceclaims.resource.k8s.io': '1',
      'gpu.deviceclass.resource.k8s.io/devices': '5',
      'cpu.deviceclass.resource.k8s.io/devices': '1',
      'all.deviceclass.resource.k8s.io/devices': '32',
    })
  })
})

it('every other kind is counted, events are not', () => {
  expect(countName({ group: 'batch', plural: 'jobs' })).toBe('count/jobs.batch')
  expect(evaluatorOf({ group: 'batch', plural: 'jobs' })!.usage({})).toEqual({ 'count/jobs.batch': '1' })
  expect(evaluatorOf({ group: '', plural: 'secrets' })!.matching(['secrets', 'count/secrets', 'pods'])).toEqual([
    'secrets',
    'count/secrets',
  ])
  expect(evaluatorOf({ group: '', plural: 'events' })).toBeUndefined()
  const names = ['count/widgets.a.example.com', 'secrets', 'requests.cpu', 'count/services', 'what/ever', 'count/events']
  expect(evaluatorsFor(names).map(e => `${e.kind.group}/${e.kind.plural}`)).toEqual([
    '/pods',
    '/services',
    'a.example.com/widgets',
    '/secrets',
  ])
})
