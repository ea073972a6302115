import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { podLimits, podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue } from '#shared/machinery/quantity.ts'

const c = (name: string, cpu?: number, restartPolicy?: string) => ({
  name,
  ...(restartPolicy ? { restartPolicy } : {}),
  resources: cpu === undefined ? {} : { requests: { cpu: `${cpu}m` } },
})
const cpuOf = (spec: PodSpec): number => quantityMilliValue(podRequests(spec)['cpu'] ?? '0')

describe('requests of a pod', () => {
  it('are the larger of running and starting', () => {
    expect(podRequests({ containers: [c('a', 100), c('b', 200)] })).toEqual({ cpu: '300m' })
    expect(podRequests({ containers: [c('a', 100)], initContainers: [c('i', 500)] })).toEqual({ cpu: '500m' })
  })
  it('count sidecars with the others, and with the init containers after them', () => {
    expect(podRequests({ containers: [c('a', 100)], initContainers: [c('s', 50, 'Always')] })).toEqual({ cpu: '150m' })
    expect(podRequests({ containers: [c('a', 100)], initContainers: [c('s', 50, 'Always'), c('i', 400)] })).toEqual({ cpu: '450m' })
    expect(podRequests({ containers: [c('a', 100)], initContainers: [c('i', 400), c('s', 50, 'Always')] })).toEqual({ cpu: '400m' })
  })
  it('take pod-level amounts first, and add the overhead', () => {
    const spec = { containers: [c('a', 100)], resources: { requests: { cpu: '1' } }, overhead: { cpu: '10m', memory: '1Mi' } }
    expect(podRequests(spec)).toEqual({ cpu: '1010m', memory: '1Mi' })
    expect(podLimits({ containers: [{ resources: { limits: { memory: '1Mi' } } }], overhead: { cpu: '1', memory: '1Mi' } })).toEqual({
      memory: '2Mi',
    })
  })
  it('know no resource that every object has', () => {
    expect(podRequests({ containers: [c('a', 100)], overhead: { valueOf: '1' } as unknown as Record<string, string> })).toEqual({
      cpu: '100m',
      valueOf: '1',
    })
  })
  it('are never less than any container asks, nor more than all together', () => {
    const cpu = fc.integer({ min: 0, max: 4000 })
    fc.assert(
      fc.property(fc.array(cpu, { minLength: 1 }), fc.array(fc.tuple(cpu, fc.boolean())), (main, init) => {
        const total = cpuOf({
          containers: main.map((n, i) => c(`m${i}`, n)),
          initContainers: init.map(([n, sidecar], i) => c(`i${i}`, n, sidecar ? 'Always' : undefined)),
        })
        const all = [...main, ...init.map(([n]) => n)]
        return total >= Math.max(...all) && total <= all.reduce((a, b) => a + b, 0)
      }),
    )
  })
})

describe('quality of service', () => {
  const full = { cpu: '1', memory: '1Gi' }
  const of = (...resources: object[]) => podQOS({ containers: resources.map((r, i) => ({ name: `c${i}`, resources: r })) })
  it.each([
    ['BestEffort', [{}]],
    ['BestEffort', [{ limits: { 'example.com/gpu': '1' } }]],
    ['Burstable', [{ requests: { cpu: '1' } }]],
    ['Burstable', [{ requests: full, limits: { cpu: '2', memory: '1Gi' } }]],
    ['Burstable', [{ requests: full, limits: full }, {}]],
    ['Guaranteed', [{ requests: full, limits: full }]],
    ['Guaranteed', [{ requests: { cpu: '1000m', memory: '1024Mi' }, limits: full }]],
  ])('%s: %j', (expected, resources) => expect(of(...resources)).toBe(expected))
  it('counts init containers and pod-level resources', () => {
    expect(podQOS({ containers: [{ name: 'c', resources: { requests: full, limits: full } }], initContainers: [{ name: 'i' }] })).toBe(
      'Burstable',
    )
    expect(podQOS({ containers: [{ name: 'c' }], resources: { requests: full, limits: full } })).toBe('Guaranteed')
  })
})
