import { describe, expect, it } from 'vitest'
import { brokenByClaim, brokenByPod, setDefaults } from '#control-plane/apiserver/admission/limits.ts'
import { limitRange, type LimitRange, type LimitRangeItem } from '#shared/api/core/limitrange.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { Path } from '#shared/machinery/field.ts'

const range = (...limits: LimitRangeItem[]): LimitRange => {
  const l: LimitRange = { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l', namespace: 'd' }, spec: { limits } }
  limitRange.defaults?.(l)
  return l
}
type Resources = NonNullable<Pod['spec']['containers'][number]['resources']>
const pod = (containers: Resources[], init: Resources[] = []): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: {
    containers: containers.map((resources, i) => ({ name: `c${i}`, resources })),
    initContainers: init.map((resources, i) => ({ name: `i${i}`, resources })),
  },
})
const errors = (...limits: LimitRangeItem[]): string[] =>
  (limitRange.validate?.(range(...limits), new Path()) ?? []).map(e => `${e.field}: ${e.message}`)

describe('a limit range', () => {
  it('completes itself for containers: limits from max, requests from limits or min', () => {
    const item = {
      type: 'Container',
      max: { cpu: '2', memory: '1Gi' },
      min: { cpu: '1', 'ephemeral-storage': '1Gi' },
      default: { cpu: '1500m' },
    }
    expect(range(item).spec.limits).toEqual([
      {
        ...item,
        default: { cpu: '1500m', memory: '1Gi' },
        defaultRequest: { cpu: '1500m', memory: '1Gi', 'ephemeral-storage': '1Gi' },
      },
    ])
    const other = { type: 'Pod', max: { cpu: '2' } }
    expect(range(other).spec.limits).toEqual([other])
  })
  it.each<[LimitRangeItem, ...string[]]>([
    [{ type: 'Container', max: { cpu: '1' }, min: { cpu: '1' }, maxLimitRequestRatio: { cpu: '1' } }],
    [{ type: 'Space' }, 'spec.limits[0].type: Invalid value: "Space": must be a standard limit type or fully qualified'],
    [
      { type: 'Pod', max: { speed: '1' } },
      'spec.limits[0].max[speed]: Invalid value: "speed": must be a standard resource type or fully qualified',
      'spec.limits[0].max[speed]: Invalid value: "speed": must be a standard resource for containers',
    ],
    [{ type: 'Pod', default: { cpu: '1' } }, "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
    [
      { type: 'PersistentVolumeClaim', max: { cpu: '1' } },
      'spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided',
    ],
    [
      { type: 'Pod', min: { cpu: '2' }, max: { cpu: '1' } },
      'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
    ],
    [
      { type: 'Container', defaultRequest: { cpu: '2' }, default: { cpu: '1' } },
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1',
    ],
    [
      { type: 'Pod', maxLimitRequestRatio: { cpu: '500m' } },
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
    ],
    [
      { type: 'Pod', min: { cpu: '1' }, max: { cpu: '3' }, maxLimitRequestRatio: { cpu: '4' } },
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 3.000000',
    ],
    [
      { type: 'Container', default: { 'a.b/gpu': '2' }, defaultRequest: { 'a.b/gpu': '1' } },
      'spec.limits[0].defaultRequest[a.b/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.b/gpu',
    ],
  ])('%j', (item, ...wanted) => expect(errors(item)).toEqual(wanted))
  it('has one item of a type', () => {
    expect(errors({ type: 'Pod' }, { type: 'Pod' })).toEqual(['spec.limits[1].type: Duplicate value: "Pod"'])
  })
})

it('gives containers what they lack, and says so', () => {
  const p = pod([{}, { limits: { cpu: '3' }, requests: { cpu: '2', memory: '1Mi' } }], [{ requests: { cpu: '7' } }])
  setDefaults(range({ type: 'Container', default: { cpu: '2', memory: '64Mi' }, defaultRequest: { cpu: '1' } }), p)
  expect([...p.spec.containers, ...p.spec.initContainers!].map(c => c.resources)).toEqual([
    { limits: { cpu: '2', memory: '64Mi' }, requests: { cpu: '1', memory: '64Mi' } },
    { limits: { cpu: '3', memory: '64Mi' }, requests: { cpu: '2', memory: '1Mi' } },
    { limits: { cpu: '2', memory: '64Mi' }, requests: { cpu: '7', memory: '64Mi' } },
  ])
  expect(p.metadata.annotations).toEqual({
    'kubernetes.io/limit-ranger':
      'LimitRanger plugin set: cpu, memory request for container c0; cpu, memory limit for container c0; memory limit for container c1; memory request for init container i0; cpu, memory limit for init container i0',
  })
})

const asked: Resources = { requests: { cpu: '1' }, limits: { cpu: '2' } }
it.each<[LimitRangeItem, Pod, ...string[]]>([
  [{ type: 'Container', min: { cpu: '1' }, max: { cpu: '2' }, maxLimitRequestRatio: { cpu: '2' } }, pod([asked])],
  [{ type: 'Container', min: { memory: '1Mi' } }, pod([asked]), 'minimum memory usage per Container is 1Mi.  No request is specified'],
  [{ type: 'Container', min: { cpu: '1500m' } }, pod([asked]), 'minimum cpu usage per Container is 1500m, but request is 1'],
  [
    { type: 'Container', min: { cpu: '1' } },
    pod([{ requests: { cpu: '1' }, limits: { cpu: '500m' } }]),
    'minimum cpu usage per Container is 1, but limit is 500m',
  ],
  [{ type: 'Container', max: { memory: '1Mi' } }, pod([asked]), 'maximum memory usage per Container is 1Mi.  No limit is specified'],
  [{ type: 'Container', max: { cpu: '1500m' } }, pod([], [asked]), 'maximum cpu usage per Container is 1500m, but limit is 2'],
  [
    { type: 'Container', max: { cpu: '1' } },
    pod([{ requests: { cpu: '2' }, limits: { cpu: '1' } }]),
    'maximum cpu usage per Container is 1, but request is 2',
  ],
  [
    { type: 'Container', maxLimitRequestRatio: { cpu: '1' } },
    pod([asked]),
    'cpu max limit to request ratio per Container is 1, but provided ratio is 2.000000',
  ],
  [
    { type: 'Container', maxLimitRequestRatio: { cpu: '1' } },
    pod([{}]),
    'cpu max limit to request ratio per Container is 1, but no request is specified or request is 0',
  ],
  [
    { type: 'Container', maxLimitRequestRatio: { cpu: '1' } },
    pod([{ requests: { cpu: '1' } }]),
    'cpu max limit to request ratio per Container is 1, but no limit is specified or limit is 0',
  ],
  [{ type: 'Pod', max: { cpu: '3' } }, pod([asked, asked]), 'maximum cpu usage per Pod is 3, but limit is 4'],
  [{ type: 'Pod', min: { cpu: '3' } }, pod([asked, asked], [{ requests: { cpu: '5' } }])],
])('%j', (item, p, ...wanted) => expect(brokenByPod(range(item), p)).toEqual(wanted))

it('the overhead of a pod is not its own', () => {
  const p = pod([asked])
  p.spec.overhead = { cpu: '9' }
  expect(brokenByPod(range({ type: 'Pod', max: { cpu: '2' } }), p)).toEqual([])
})

it('claims are limited by their requests', () => {
  const l = range({ type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } })
  const claim = (storage: string) => brokenByClaim(l, { resources: { requests: { storage } } })
  expect([claim('1Gi'), claim('512Mi'), claim('3Gi')]).toEqual([
    [],
    ['minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi'],
    ['maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi'],
  ])
})
