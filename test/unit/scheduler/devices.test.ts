/** Devices for claims: what is found on a node, and what is not. */
import { describe, expect, it } from 'vitest'
import { selects } from '#control-plane/apiserver/cel/dra/device.ts'
import { allocate, scoreOf, type AllocationWorld } from '#control-plane/scheduler/dynamicresources/allocate.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { Device, ResourceSlice } from '#shared/api/resource/resourceslice.ts'

const driver = 'gpu.example.com'
const node = { metadata: { name: 'a', labels: { zone: 'z1' } } } as unknown as Node
const gpu = (name: string, model: string, memory: string, more: object = {}): Device =>
  ({
    name,
    attributes: { model: { string: model }, version: { version: '1.2.3' }, 'other.example.com/rack': { int: 7 } },
    capacity: { memory: { value: memory } },
    ...more,
  }) as Device
const slice = (devices: Device[], more: object = {}, pool: object = {}): ResourceSlice =>
  ({
    spec: { driver, pool: { name: 'a', generation: 1, resourceSliceCount: 1, ...pool }, nodeName: 'a', devices, ...more },
  }) as ResourceSlice
const claim = (requests: object[], more: object = {}): ResourceClaim =>
  ({ metadata: { namespace: 'ns', name: 'c' }, spec: { devices: { requests, ...more } } }) as ResourceClaim
const exactly = (name: string, more: object = {}) => ({ name, exactly: { deviceClassName: 'gpu', ...more } })
const cel = (expression: string) => ({ selectors: [{ cel: { expression } }] })
const gpuClass = {
  spec: { selectors: [{ cel: { expression: `device.driver == "${driver}"` } }], config: [{ opaque: { driver } }] },
} as DeviceClass

const two = [gpu('g0', 'small', '8Gi'), gpu('g1', 'large', '80Gi')]
function found(
  claims: ResourceClaim[],
  slices: ResourceSlice[] = [slice(two)],
  taken: string[] = [],
  timeoutMs = Infinity,
): string[] | undefined {
  const classOf = (name: string) => (name === 'gpu' ? gpuClass : undefined)
  const world: AllocationWorld = { slices, class: classOf, taken: new Set(taken), selects, timeoutMs }
  return allocate(claims, node, world)?.flatMap(a => (a.devices?.results ?? []).map(r => `${r.request}=${r.device}`))
}

describe('devices are given', () => {
  it('by selectors on what they are', () => {
    expect(found([claim([exactly('r')])])).toEqual(['r=g0'])
    expect(found([claim([exactly('r', cel(`device.attributes["${driver}"].model == "large"`))])])).toEqual(['r=g1'])
    expect(found([claim([exactly('r', cel(`device.capacity["${driver}"].memory.isGreaterThan(quantity("10Gi"))`))])])).toEqual(['r=g1'])
    expect(found([claim([exactly('r', cel(`device.attributes["${driver}"].version.isLessThan(semver("1.0.0"))`))])])).toBeUndefined()
    expect(found([claim([exactly('r', cel('device.attributes["other.example.com"].rack == 7'))])])).toEqual(['r=g0'])
    expect(found([claim([exactly('r', cel('"nobody.example.com" in device.attributes'))])])).toBeUndefined()
    expect(() => found([claim([exactly('r', cel(`device.attributes["nobody.example.com"].x == 1`))])])).toThrow(
      'claim ns/c: selector #0: CEL runtime error: no such key: x',
    )
  })
  it('to one claim each, by trying what else there is', () => {
    const picky = claim([exactly('p', cel(`device.attributes["${driver}"].model == "small"`))])
    expect(found([claim([exactly('any')]), picky])).toEqual(['any=g1', 'p=g0'])
    expect(found([claim([exactly('r', { count: 2 })])])).toEqual(['r=g0', 'r=g1'])
    expect(found([claim([exactly('r', { count: 3 })])])).toBeUndefined()
    expect(found([claim([exactly('r')])], [slice(two)], [`${driver}/a/g0`])).toEqual(['r=g1'])
    expect(found([claim([exactly('r', { adminAccess: true })])], [slice(two)], [`${driver}/a/g0`])).toEqual(['r=g0'])
    const both = claim([exactly('r', { adminAccess: true }), exactly('s', { adminAccess: true })])
    expect(found([both], [slice(two)], [`${driver}/a/g0`])).toEqual(['r=g0', 's=g1'])
  })
  it('all that there are, when none is taken', () => {
    const all = claim([exactly('r', { allocationMode: 'All' })])
    expect(found([all])).toEqual(['r=g0', 'r=g1'])
    expect(found([all], [slice(two)], [`${driver}/a/g0`])).toBeUndefined()
    expect(() => found([all], [slice(two, {}, { resourceSliceCount: 2 })])).toThrow(`resource pool ${driver}/a is currently being updated`)
  })
  it('of pools in which no name is given twice', () => {
    const twice = slice([...two, gpu('g0', 'other', '1Gi')])
    expect(() => found([claim([exactly('r')])], [twice])).toThrow('invalid resource pools were encountered')
    expect(found([claim([exactly('r')])], [twice, slice(two, {}, { name: 'b' })])).toEqual(['r=g0'])
  })
  it('as the first of several requests that can be met', () => {
    const first = (...models: string[]) =>
      claim([
        {
          name: 'r',
          firstAvailable: models.map(m => ({ name: m, deviceClassName: 'gpu', ...cel(`device.attributes["${driver}"].model == "${m}"`) })),
        },
      ])
    expect(found([first('huge', 'large', 'small')])).toEqual(['r/large=g1'])
    expect(found([first('huge')])).toBeUndefined()
  })
  it('with what constraints say of them together', () => {
    const requests = [exactly('r', { count: 2 })]
    const name = `${driver}/model`
    const three = [...two, gpu('g2', 'large', '80Gi')]
    expect(found([claim(requests, { constraints: [{ matchAttribute: name }] })], [slice(three)])).toEqual(['r=g1', 'r=g2'])
    expect(found([claim(requests, { constraints: [{ distinctAttribute: name }] })], [slice(three)])).toEqual(['r=g0', 'r=g1'])
    expect(found([claim(requests, { constraints: [{ matchAttribute: `${driver}/none` }] })], [slice(three)])).toBeUndefined()
  })
  it('of nodes that can use them, of the newest generation, without taints', () => {
    const r = [claim([exactly('r')])]
    expect(found(r, [slice(two, { nodeName: 'b' })])).toBeUndefined()
    const inZone = (zone: string) => ({
      nodeName: undefined,
      nodeSelector: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: [zone] }] }] },
    })
    expect(found(r, [slice(two, inZone('z1'))])).toEqual(['r=g0'])
    expect(found(r, [slice(two, inZone('z2'))])).toBeUndefined()
    expect(found(r, [slice(two), slice([gpu('new', 'x', '1')], {}, { generation: 2 })])).toEqual(['r=new'])
    const tainted = [slice([gpu('g0', 'x', '1', { taints: [{ key: 'broken', effect: 'NoSchedule' }] })])]
    expect(found(r, tainted)).toBeUndefined()
    expect(found([claim([exactly('r', { tolerations: [{ key: 'broken', operator: 'Exists' }] })])], tainted)).toEqual(['r=g0'])
  })
})

it('an allocation says from where it can be used, and how the devices are set up', () => {
  const world: AllocationWorld = { slices: [slice(two)], class: () => gpuClass, taken: new Set(), selects, timeoutMs: Infinity }
  const config = [
    { requests: ['r'], opaque: { driver, parameters: { a: 1 } } },
    { requests: ['other'], opaque: { driver } },
  ]
  expect(allocate([claim([exactly('r')], { config })], node, world)).toEqual([
    {
      devices: {
        results: [{ request: 'r', driver, pool: 'a', device: 'g0' }],
        config: [
          { source: 'FromClass', requests: ['r'], opaque: { driver } },
          { source: 'FromClaim', requests: ['r'], opaque: { driver, parameters: { a: 1 } } },
        ],
      },
      nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }] },
    },
  ])
})
it('requests of one class share its configuration; a condition on nodes is said once', () => {
  const nodeSelector = { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['z1'] }] }] }
  const slices = [slice(two, { nodeName: undefined, nodeSelector })]
  const world: AllocationWorld = {
    slices,
    class: () => ({ ...gpuClass, metadata: { name: 'gpu' } }),
    taken: new Set(),
    selects,
    timeoutMs: Infinity,
  }
  expect(allocate([claim([exactly('r'), exactly('s')])], node, world)).toMatchObject([
    { devices: { config: [{ source: 'FromClass', requests: ['r', 's'] }] }, nodeSelector },
  ])
})
it('a search among many devices ends', () => {
  const many = Array.from({ length: 100 }, (_, i) => gpu(`g${i}`, `m${i}`, '1'))
  const wanted = (count: number, more: object = {}) => claim([exactly('r', { count })], more)
  // One more than there are, of four claims.
  expect(() =>
    found(
      [32, 32, 32, 5].map(n => wanted(n)),
      [slice(many)],
    ),
  ).toThrow('timed out trying to allocate devices')
  const search = (timeoutMs: number) =>
    found([wanted(2, { constraints: [{ matchAttribute: `${driver}/model` }] })], [slice(many)], [], timeoutMs)
  expect(search(Infinity)).toBeUndefined()
  expect(() => search(-1)).toThrow('timed out trying to allocate devices')
})

it('a node is better the earlier the alternatives are that it meets requests with', () => {
  const listed = claim([{ name: 'r', firstAvailable: ['a', 'b', 'c'].map(name => ({ name, deviceClassName: 'gpu' })) }, exactly('other')])
  const given = (...requests: string[]) => ({ devices: { results: requests.map(request => ({ request })) } }) as never
  expect([given('r/a', 'other'), given('r/b', 'r/b', 'other'), given('r/c', 'other')].map(a => scoreOf([listed], [a]))).toEqual([8, 7, 6])
  expect(scoreOf([listed, listed], [given('r/a'), given('r/c')])).toBe(14)
  expect(scoreOf([claim([exactly('r')])], [given('r')])).toBe(0)
})
