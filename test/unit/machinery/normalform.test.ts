import { describe, expect, it } from 'vitest'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { decode } from '#shared/machinery/decode.ts'
import { encode, normalize } from '#shared/machinery/encode.ts'
import { bool, int32, list, map, obj, opt, req, str } from '#shared/machinery/schema.ts'
import { pods, recorded, resourceOf, storedObject, comparable } from './recorded.ts'

const inner = obj('t.v1.Inner', '', () => ({ protocol: opt(1, str(), { default: 'TCP' }), port: req(2, int32(), { default: 0 }) }))
const outer = obj('t.v1.Outer', '', () => ({
  name: opt(1, str(), { default: '' }),
  type: opt(2, str(), { default: '', pointer: true }),
  replicas: opt(3, int32(), { default: 1 }),
  on: opt(4, bool(), { default: true }),
  ports: opt(5, list(inner)),
  byName: opt(6, map(inner)),
  resources: opt(7, inner, { default: {} }),
  pointer: opt(8, inner),
}))

describe('defaults', () => {
  it('fill in what is absent, also inside what they made', () => {
    const object = { ports: [{ port: 1 }, { port: 2, protocol: 'UDP' }], byName: { a: { port: 3 } }, on: false }
    applyDefaults(outer, object)
    expect(object).toEqual({
      type: '',
      replicas: 1,
      on: false,
      ports: [
        { port: 1, protocol: 'TCP' },
        { port: 2, protocol: 'UDP' },
      ],
      byName: { a: { port: 3, protocol: 'TCP' } },
      resources: { protocol: 'TCP', port: 0 },
    })
  })
  it('are there for what is required, too, which decoding has made an empty text', () => {
    const pattern = obj('test.Pattern', 'A pattern.', () => ({ type: req(1, str()), status: req(2, str(), { default: 'True' }) }))
    const [empty, given] = [
      { type: 'a', status: '' },
      { type: 'a', status: 'False' },
    ]
    applyDefaults(pattern, empty)
    applyDefaults(pattern, given)
    expect([empty.status, given.status]).toEqual(['True', 'False'])
  })
  it('are not shared between objects', () => {
    const [a, b] = [{}, {}] as { resources?: { port?: number } }[]
    applyDefaults(outer, a!)
    applyDefaults(outer, b!)
    a!.resources!.port = 7
    expect(b!.resources!.port).toBe(0)
  })
})

describe('encoding', () => {
  it('drops empty optional fields and keeps zeros held by pointer', () => {
    expect(normalize(outer, { name: '', type: '', replicas: 0, ports: [], byName: {}, pointer: {} })).toEqual({
      type: '',
      replicas: 0,
      pointer: { port: 0 },
    })
  })
  it('puts kind, apiVersion and metadata first', () => {
    const resource = resourceOf(storedObject('cm'))
    expect(encode(resource.schema, { data: { a: '1' }, metadata: { name: 'x', labels: {} }, apiVersion: 'v1', kind: 'ConfigMap' })).toBe(
      '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":"1"}}',
    )
  })
  it('leaves what a real API server stores as it is', () => {
    for (const object of [...pods(), ...recorded.filter(r => r.id.startsWith('get/')).map(r => storedObject(r.id.slice(4)))]) {
      const { schema } = resourceOf(object)
      const { object: decoded, unknown, duplicate } = decode(schema, JSON.stringify(object))
      expect({ unknown, duplicate }).toEqual({ unknown: [], duplicate: [] })
      applyDefaults(schema, decoded)
      const {
        eventTime: _time,
        reportingComponent: _component,
        reportingInstance: _instance,
        ...want
      } = comparable(object) as Record<string, unknown>
      expect(comparable(JSON.parse(encode(schema, decoded))), object.kind).toMatchObject(want)
    }
  })
})
