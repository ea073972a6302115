/** application/vnd.kubernetes.protobuf as Go clients speak it: what is written in it is read in it, and says the same as JSON. */
import { once } from 'node:events'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { listMeta } from '#shared/api/meta/listmeta.ts'
import { objectMeta, typeMeta } from '#shared/api/meta/objectmeta.ts'
import { status as statusSchema } from '#shared/api/meta/status.ts'
import { resources } from '#shared/api/resources.ts'
import { encodeMessage, enveloped } from '#shared/machinery/protobuf-encode.ts'
import { decodeProtobuf } from '#shared/machinery/protobuf.ts'
import { list, obj, opt, req, type ObjectSchema } from '#shared/machinery/schema.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from '../apiserver/setup.ts'

const type = 'application/vnd.kubernetes.protobuf'
const { schema } = resources.find(r => r.kind === 'ConfigMap')!
const listOf = (items: ObjectSchema): ObjectSchema =>
  obj('List', '', () => ({ ...typeMeta(), metadata: opt(1, listMeta), items: req(2, list(items)) }))
const partial = obj('PartialObjectMetadata', '', () => ({ ...typeMeta(), metadata: opt(1, objectMeta) }))

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer()
})
afterAll(() => api?.stop())

async function send(method: string, path: string, headers: Record<string, string>, body?: Uint8Array): Promise<IncomingMessage> {
  const req = request(new URL(path, api.url), { method, headers, ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
  req.end(body)
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  return res
}
const whole = async (res: IncomingMessage): Promise<Buffer> => Buffer.concat(await Array.fromAsync(res as AsyncIterable<Buffer>))
const get = async (path: string, accept = type) => {
  const res = await send('GET', path, { accept })
  return { code: res.statusCode, type: res.headers['content-type'], body: await whole(res) }
}
/** Without what protobuf has as zero and JSON leaves out. */
const isZero = (v: unknown): boolean => v === '' || v === 0 || (typeof v === 'object' && v !== null && Object.keys(v).length === 0)
const tidy = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, v: unknown) => (isZero(v) ? undefined : v)))
const decode = (s: ObjectSchema, body: Buffer): any => tidy(decodeProtobuf(s, body)) // any: answers of all shapes

it('writes, reads and lists objects', async () => {
  const object = configMap('written', { a: '1', b: 'ä' }, { labels: { x: 'y' } })
  const created = await send(
    'POST',
    configMaps,
    { accept: type, 'content-type': type },
    enveloped('v1', 'ConfigMap', encodeMessage(schema, object)),
  )
  expect(created.statusCode).toBe(201)
  expect(decode(schema, await whole(created))).toMatchObject(object)
  const read = await get(`${configMaps}/written`)
  expect([read.code, read.type]).toEqual([200, type])
  expect(decode(schema, read.body)).toEqual(tidy((await api.rest('GET', `${configMaps}/written`)).body))
  const listed = await get('/api/v1/configmaps?limit=1')
  const json = (await api.rest('GET', '/api/v1/configmaps?limit=1')).body
  expect(decode(listOf(schema), listed.body)).toEqual(tidy(json))
})

it('lists what is longer than one piece', async () => {
  await Promise.all(
    ['b1', 'b2', 'b3'].map(name =>
      api.rest('POST', '/api/v1/namespaces/kube-public/configmaps', configMap(name, { big: 'x'.repeat(900_000) })),
    ),
  )
  const { body } = await get('/api/v1/namespaces/kube-public/configmaps')
  const got = decode(listOf(schema), body).items as { metadata: { name: string }; data: { big: string } }[]
  expect(got.map(o => [o.metadata.name, o.data.big.length])).toEqual(['b1', 'b2', 'b3'].map(name => [name, 900_000]))
})

it('tells failures', async () => {
  const { code, type: answered, body } = await get(`${configMaps}/missing`)
  expect([code, answered]).toEqual([404, type])
  expect(decode(statusSchema, body)).toMatchObject({
    kind: 'Status',
    status: 'Failure',
    reason: 'NotFound',
    code: 404,
    message: 'configmaps "missing" not found',
  })
})

it('shows metadata only, and falls back to JSON where there is no protobuf', async () => {
  const metadata = await get(configMaps, `${type};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json`)
  expect(decode(listOf(partial), metadata.body)).toMatchObject({
    kind: 'PartialObjectMetadataList',
    items: [{ metadata: { name: 'written' } }],
  })
  for (const path of ['/api', '/apis', '/api/v1']) expect((await get(path, `${type}, */*`)).type).toBe('application/json')
  expect((await get(configMaps, `${type};as=Table;g=meta.k8s.io;v=v1, application/json;as=Table;g=meta.k8s.io;v=v1`)).type).toBe(
    'application/json',
  )
  expect((await get('/api/v1', type)).code).toBe(406)
})

it('streams events with their length in front', async () => {
  const namespace = '/api/v1/namespaces/kube-node-lease/configmaps'
  const res = await send('GET', `${namespace}?watch=1&timeoutSeconds=20`, { accept: type })
  expect(res.headers['content-type']).toBe(`${type};stream=watch`)
  const events = framesOf(res)
  await api.rest('POST', namespace, configMap('w'))
  await api.rest('PATCH', `${namespace}/w`, { data: { a: '2' } }, { headers: { 'content-type': 'application/merge-patch+json' } })
  await api.rest('DELETE', `${namespace}/w`)
  for (const [wanted, value] of [
    ['ADDED', '1'],
    ['MODIFIED', '2'],
    ['DELETED', '2'],
  ]) {
    const { type: what, object } = (await events.next()).value!
    expect([what, decode(schema, object)]).toMatchObject([
      wanted,
      { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'w' }, data: { a: value } },
    ])
  }
  res.destroy()
  const old = await send('GET', `${namespace}?watch=1&resourceVersion=1`, { accept: type })
  const first = await framesOf(old).next()
  // The history of a young server may still hold the first version.
  if (!first.done && first.value.type === 'ERROR')
    expect(decode(statusSchema, first.value.object)).toMatchObject({ reason: 'Expired', code: 410 })
  old.destroy()
})

/** Reads metav1.WatchEvent: type (1), object (2) with raw (1) in it. */
async function* framesOf(res: IncomingMessage): AsyncGenerator<{ type: string; object: Buffer }> {
  let held = Buffer.alloc(0)
  for await (const chunk of res as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, chunk])
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
      const frame = held.subarray(4, 4 + held.readUInt32BE(0))
      held = held.subarray(4 + frame.length)
      const [what, object] = [...messages(frame)]
      yield { type: what!.toString(), object: [...messages(object!)][0]! }
    }
  }
}

/** The fields of a message that has only such with a length. */
function* messages(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length;) {
    at++
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = data[at++]!
      length += (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    yield data.subarray(at, (at += length))
  }
}
