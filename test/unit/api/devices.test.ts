/** Rules of the kinds of resource.k8s.io, of which there are no recordings. */
import { describe, expect, it } from 'vitest'
import { resourceClaim, type ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import { resourceSlice, type ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import { Path, type FieldError } from '#shared/machinery/field.ts'

const root = new Path()
const lines = (errors: FieldError[] | undefined): string[] => (errors ?? []).map(e => `${e.field}: ${e.message}`)

describe('ResourceClaim', () => {
  const make = (devices: object, status?: object): ResourceClaim => {
    const claim = { metadata: { name: 'c', namespace: 'd' }, spec: { devices }, status } as unknown as ResourceClaim
    resourceClaim.defaults?.(claim)
    return claim
  }
  const gpu = { name: 'gpu', exactly: { deviceClassName: 'gpus' } }

  it('asks for one device unless it says otherwise', () => {
    expect(make({ requests: [structuredClone(gpu)] }).spec.devices?.requests?.[0]?.exactly).toMatchObject({
      allocationMode: 'ExactCount',
      count: 1,
    })
    const all = make({ requests: [{ name: 'a', exactly: { deviceClassName: 'g', allocationMode: 'All' } }] })
    expect(all.spec.devices?.requests?.[0]?.exactly).not.toHaveProperty('count')
    expect(resourceClaim.validate?.(all, root)).toEqual([])
  })
  it('names requests that there are, and exactly one kind of request', () => {
    const claim = make({
      requests: [structuredClone(gpu), structuredClone(gpu), { name: 'none' }, { name: 'Bad', exactly: { deviceClassName: '' } }],
      constraints: [{ requests: ['gpu', 'other'], matchAttribute: 'model' }],
      config: [{ requests: ['gpu'] }],
    })
    expect(lines(resourceClaim.validate?.(claim, root)).map(l => l.slice(0, 120))).toEqual([
      'spec.devices.requests[1]: Duplicate value: "gpu"',
      'spec.devices.requests[2]: Required value: exactly one of `exactly` or `firstAvailable` is required',
      expect.stringMatching(/^spec\.devices\.requests\[3\]\.name: Invalid value: "Bad"/),
      'spec.devices.requests[3].exactly.deviceClassName: Required value',
      'spec.devices.constraints[0].requests[1]: Invalid value: "other": must be the name of a request in the claim or the name ',
      'spec.devices.constraints[0].matchAttribute: Invalid value: "model": must include a domain',
      'spec.devices.config[0].opaque: Required value',
    ])
  })
  it('is reserved when it is allocated, and its allocation stays', () => {
    const results = [{ request: 'gpu', driver: 'gpu.example.com', pool: 'p', device: 'd' }]
    const reservedFor = [{ resource: 'pods', name: 'p', uid: 'u' }]
    const status = (s: object, old: object = {}) =>
      lines(resourceClaim.validateUpdate?.(make({}, s), make({}, old), root, { subresource: 'status', dryRun: false }))
    expect(status({ reservedFor })).toEqual(['status.reservedFor: Forbidden: may not be specified when `allocated` is not set'])
    expect(status({ reservedFor, allocation: { devices: { results } } })).toEqual([])
    expect(status({ allocation: {} }, { allocation: { devices: { results } } })[0]).toContain('field is immutable')
    expect(status({ devices: [{ driver: 'gpu.example.com', pool: 'p', device: 'x' }] })[0]).toContain('must be an allocated device')
  })
  it('prints its state', () => {
    const cell = resourceClaim.columns![1]!.cell
    expect(cell(make({}))).toBe('pending')
    expect(cell(make({}, { allocation: {}, reservedFor: [{ resource: 'pods', name: 'p', uid: 'u' }] }))).toBe('allocated,reserved')
  })
})

it('ResourceSlice: where devices are, and what they are', () => {
  const check = (spec: object) => lines(resourceSlice.validate?.({ metadata: { name: 's' }, spec } as unknown as ResourceSlice, root))
  const pool = { name: 'p', generation: 1, resourceSliceCount: 1 }
  expect(check({ driver: 'd.example.com', pool, allNodes: true, devices: [{ name: 'a' }] })).toEqual([])
  expect(check({ driver: 'd.example.com', pool, allNodes: true, nodeName: 'n' })).toEqual([
    'spec: Invalid value: "{nodeName, allNodes}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
  ])
  const device = {
    name: 'a',
    attributes: { 'x/y/z': { int: 1 }, v: { version: '1' }, two: { int: 1, bool: true } },
    taints: [{ key: 'k' }],
  }
  expect(check({ driver: '', pool: { ...pool, resourceSliceCount: 0 }, nodeName: 'n', devices: [device] })).toEqual([
    'spec.driver: Required value',
    'spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero',
    'spec.devices[0].attributes[x/y/z]: Invalid value: "x/y/z": must have at most one slash',
    'spec.devices[0].attributes[v].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0',
    'spec.devices[0].attributes[two]: Invalid value: {"int":1,"bool":true}: exactly one value must be specified',
    'spec.devices[0].taints[0].effect: Required value',
  ])
})
