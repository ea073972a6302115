/** Every document in protobuf says, read by gnostic's own definition of the messages, what it says in JSON. */
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { encodeGnosticV3 } from '#control-plane/apiserver/openapi/gnosticv3.ts'
import { openApi } from '#control-plane/apiserver/openapi/openapi.ts'

type Json = Record<string, any> // any: documents of both forms

function read(version: 'v2' | 'v3', bytes: Buffer): Json {
  const file = path.resolve(import.meta.dirname, `../../fixtures/openapi-${version}.proto`)
  const loaded = loadSync(file, { keepCase: true, longs: Number })
  return (loaded[`openapi.${version}.Document`] as MessageTypeDefinition<object, object>).deserialize(bytes)
}

const entries = (list: readonly Json[] | undefined, of: (value: any) => unknown): Json =>
  Object.fromEntries((list ?? []).map(({ name, value }) => [name, of(value)]))
const anyOf = (value: Json): unknown => JSON.parse(value['yaml'])
const camel = (name: string): string => name.replace(/_(.)/g, (_, c: string) => c.toUpperCase())
const reference = ({ _ref, description }: Json): Json => ({ $ref: _ref, ...(description ? { description } : {}) })

/** What a message says as JSON Schema. What protobuf leaves out (false, 0, '') is left out. */
function schema(message: Json): unknown {
  if (message['reference']) return reference(message['reference'])
  const s: Json = message['schema'] ?? message
  if (s['_ref']) return reference(s)
  const out: Json = {}
  for (const [name, value] of Object.entries(s)) {
    if (['string', 'number', 'boolean'].includes(typeof value)) out[camel(name)] = value
    else if (name === 'required') out[name] = value
    else if (name === 'type') out[name] = value.value.join()
    else if (name === 'enum') out[name] = value.map(anyOf)
    else if (name === 'properties') out[name] = entries(value.additional_properties, schema)
    else if (name === 'items') out[name] = schema((value.schema_or_reference ?? value.schema)[0])
    else if (name === 'additional_properties') out['additionalProperties'] = value.boolean ?? schema(value.schema_or_reference ?? value)
    else if (name === 'default') out[name] = value.yaml === undefined ? (value.string ?? value.number ?? value.boolean ?? {}) : anyOf(value)
    else if (name === 'external_docs') out['externalDocs'] = value
    else if (name.endsWith('_of')) out[camel(name)] = value.map(schema)
    else if (name === 'not') out[name] = schema(value)
    else if (name === 'specification_extension' || name === 'vendor_extension') Object.assign(out, entries(value, anyOf))
    else throw new Error(`a schema has ${name}`)
  }
  return out
}

/** A schema without what protobuf leaves out; a default that is an object has nothing in it there. */
function plain(s: any): unknown {
  if (Array.isArray(s)) return s.map(plain)
  if (typeof s !== 'object' || s === null) return s
  if ('$ref' in s) return { $ref: s.$ref, ...(s.description ? { description: s.description } : {}) }
  const kept = Object.entries(s).filter(([name, v]) => name === 'default' || name === 'additionalProperties' || (v !== false && v !== ''))
  return Object.fromEntries(
    kept.map(([name, v]) => {
      if (name === 'default') return [name, typeof v === 'object' ? {} : v]
      if (name !== 'properties') return [name, name.startsWith('x-') ? v : plain(v)]
      return [name, Object.fromEntries(Object.entries(v as Json).map(([n, inner]) => [n, plain(inner)]))]
    }),
  )
}

const verbs = ['get', 'put', 'post', 'delete', 'patch', 'options', 'head']
/** Each operation by path and verb: what it is called, takes and gives, and the extensions. */
function operations(paths: Json, of: (operation: Json) => unknown): Json {
  return Object.fromEntries(
    Object.entries(paths).flatMap(([at, item]) => verbs.flatMap(verb => (item[verb] ? [[`${verb} ${at}`, of(item[verb])]] : []))),
  )
}
const extensions = (of: Json): Json => Object.fromEntries(Object.entries(of).filter(([name]) => name.startsWith('x-')))
const said = (o: Json): Json => ({
  id: o['operationId'],
  tags: o['tags'],
  takes: (o['parameters'] ?? []).map((p: Json) => p['$ref'] ?? p['name']),
  gives: Object.keys(o['responses']),
  ...extensions(o),
})

/** An operation of version 3, the same. */
const saidV3 = (o: Json): Json => ({
  id: o['operation_id'],
  tags: o['tags'],
  takes: (o['parameters'] ?? []).map((p: Json) => p['reference']?._ref ?? p['parameter'].name),
  gives: o['responses'].response_or_reference.map((r: Json) => r['name']),
  ...entries(o['specification_extension'], anyOf),
})
const saidV2 = (o: Json): Json => ({
  id: o['operation_id'],
  tags: o['tags'],
  takes: (o['parameters'] ?? []).map((p: Json) => p['json_reference']?._ref ?? parameterName(p['parameter'])),
  gives: o['responses'].response_code.map((r: Json) => r['name']),
  ...entries(o['vendor_extension'], anyOf),
})
const parameterName = (p: Json): string => p['body_parameter']?.name ?? (Object.values(p['non_body_parameter'] as Json)[0] as Json)['name']

function sameSchemas(got: Json, want: Json): void {
  expect(Object.keys(got)).toEqual(Object.keys(want))
  for (const [name, one] of Object.entries(want)) expect([name, got[name]]).toEqual([name, plain(one)])
}

/** Messages that stand there several times as one: readers join them, this one does not. */
function joined(bytes: Buffer): Buffer {
  const parts = new Map<number, Buffer[]>()
  for (let at = 0; at < bytes.length;) {
    const varint = (): number => {
      let value = 0
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes[at++]!
        value += (byte & 0x7f) * scale
        if (byte < 0x80) return value
      }
    }
    const key = varint()
    const length = varint()
    parts.set(key, [...(parts.get(key) ?? []), bytes.subarray(at, (at += length))])
  }
  const lengthOf = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...lengthOf(Math.floor(n / 128))])
  const message = ([key, all]: [number, Buffer[]]): Buffer => {
    const body = Buffer.concat(all)
    return Buffer.concat([Buffer.from([key, ...lengthOf(body.length)]), body])
  }
  return Buffer.concat([...parts].map(message))
}

const api = openApi(() => ({ resources, proxied: new Map() }), 'v1.35.0')

describe('OpenAPI in protobuf is what it is in JSON', () => {
  it.each(['api/v1', 'apis/apps/v1', 'apis/apiextensions.k8s.io/v1', 'apis/admissionregistration.k8s.io/v1'])('%s of version 3', group => {
    const json = JSON.parse(api.v3(group)!.body.toString()) as Json
    const got = read('v3', encodeGnosticV3(json as Parameters<typeof encodeGnosticV3>[0]))
    sameSchemas(entries(got['components'].schemas.additional_properties, schema), json['components'].schemas)
    expect(
      operations(
        entries(got['paths'].path, item => item),
        saidV3,
      ),
    ).toEqual(operations(json['paths'], said))
  })
  it('all of version 2', async () => {
    const go = () => undefined
    const json = JSON.parse((await api.v2(go)).body.toString()) as Json
    const got = read('v2', joined((await api.v2Protobuf(go)).body))
    sameSchemas(entries(got['definitions'].additional_properties, schema), json['definitions'])
    expect(
      operations(
        entries(got['paths'].path, item => item),
        saidV2,
      ),
    ).toEqual(operations(json['paths'], said))
  })
})
