/** Custom kinds whose versions a webhook converts: v2, which is stored, has `host` and `port` where v1 has `address`. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { startWebhook, type Answer, type WebhookServer } from '../../fixtures/webhook.ts'
import { merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let hook: WebhookServer
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const group = 'net.example.com'
const at = (version: string, name = '', namespace = 'default') =>
  `/apis/${group}/${version}/namespaces/${namespace}/links${name && `/${name}`}`

/** Converts `address` to `host` and `port` and back. */
function convert(object: any, desired: string): object {
  // any: objects of both versions
  const { spec = {}, metadata } = object
  const [host, port] = spec.address === undefined ? [spec.host, spec.port] : spec.address.split(':')
  const inV1 = desired.endsWith('v1')
  return { ...object, apiVersion: desired, metadata, spec: inV1 ? { address: `${host}:${port}` } : { host, port: String(port) } }
}
const answerWith =
  (more: (review: any) => object): Answer =>
  review => ({ uid: review.request.uid, result: { status: 'Success' }, ...more(review) }) // any: reviews are read as JSON
const converting: Answer = answerWith(({ request }) => ({
  convertedObjects: request.objects.map((o: object) => convert(o, request.desiredAPIVersion)),
}))

const version = (name: string, storage: boolean, properties: object) => ({
  name,
  served: true,
  storage,
  schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties } } } },
  selectableFields: Object.keys(properties).map(field => ({ jsonPath: `.spec.${field}` })),
})
const text = { type: 'string' }
const definition = (stored: 'v1' | 'v2', conversion: object) => ({
  metadata: { name: `links.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural: 'links', kind: 'Link' },
    versions: [version('v1', stored === 'v1', { address: text }), version('v2', stored === 'v2', { host: text, port: text })],
    conversion,
  },
})
const webhook = (more: object = {}) => ({
  strategy: 'Webhook',
  webhook: { clientConfig: { url: `${hook.url}/convert`, caBundle: hook.caBundle }, conversionReviewVersions: ['v1'], ...more },
})
async function define(conversion: object, stored: 'v1' | 'v2' = 'v2'): Promise<void> {
  const { code, body } = await rest('POST', definitions, definition(stored, conversion))
  expect({ code, message: body.message }).toEqual({ code: 201, message: undefined })
  await expect.poll(async () => (await rest('GET', at('v1'))).code).toBe(200)
}
const create = (name: string, address: string) =>
  rest('POST', at('v1'), { apiVersion: `${group}/v1`, kind: 'Link', metadata: { name }, spec: { address } })

beforeAll(async () => {
  ;[api, hook] = await Promise.all([startTestApiServer(), startWebhook()])
  rest = api.rest
})
afterAll(async () => {
  await Promise.all([api?.stop(), hook?.stop()])
})
beforeEach(() => {
  hook.answer = converting
  hook.asked.length = 0
})
afterEach(async () => {
  hook.answer = converting
  await rest('DELETE', `${definitions}/links.${group}`)
  await expect.poll(async () => (await rest('GET', `${definitions}/links.${group}`)).code).toBe(404)
})

it('objects are written and read in any version', async () => {
  await define(webhook())
  expect((await create('a', 'h:1')).body.spec).toEqual({ address: 'h:1' })
  expect((await rest('GET', at('v2', 'a'))).body).toMatchObject({ apiVersion: `${group}/v2`, spec: { host: 'h', port: '1' } })
  expect((await rest('GET', at('v1', 'a'))).body).toMatchObject({ apiVersion: `${group}/v1`, spec: { address: 'h:1' } })
  const patched = await rest('PATCH', at('v1', 'a'), { spec: { address: 'h:2' } }, merge)
  expect(patched.body).toMatchObject({ metadata: { generation: 2 }, spec: { address: 'h:2' } })
  expect((await rest('GET', at('v2', 'a'))).body.spec).toEqual({ host: 'h', port: '2' })
  const { review, path } = hook.asked[0]!
  expect(path).toBe('/convert?timeout=30s')
  expect(review).toMatchObject({
    kind: 'ConversionReview',
    apiVersion: 'apiextensions.k8s.io/v1',
    request: { uid: expect.any(String), desiredAPIVersion: `${group}/v2`, objects: [{ kind: 'Link', apiVersion: `${group}/v1` }] },
  })
})

it('objects are selected by the fields of the version that is asked for', async () => {
  await define(webhook())
  for (const [name, address] of Object.entries({ a: 'h:1', b: 'h:2', c: 'i:1' })) expect((await create(name, address)).code).toBe(201)
  const selected = async (version: string, selector: string): Promise<string[]> => {
    const { code, body } = await rest('GET', `${at(version)}?fieldSelector=${encodeURIComponent(selector)}`)
    return code === 200 ? body.items.map((i: { metadata: { name: string } }) => i.metadata.name) : [body.message]
  }
  expect(await selected('v1', 'spec.address=h:2')).toEqual(['b'])
  expect(await selected('v1', 'spec.address!=h:2')).toEqual(['a', 'c'])
  expect(await selected('v2', 'spec.host=h')).toEqual(['a', 'b'])
  expect(await selected('v2', 'spec.address=h:2')).toEqual(['field label not supported: spec.address'])
  const watch = await rest.watch(`${at('v1')}?watch=1&fieldSelector=${encodeURIComponent('spec.address=h:2')}`)
  expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' }, spec: { address: 'h:2' } } })
  await rest('PATCH', at('v2', 'a'), { spec: { port: '2' } }, merge)
  expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'a' }, spec: { address: 'h:2' } } })
  await rest('PATCH', at('v2', 'b'), { spec: { host: 'k' } }, merge)
  expect(await watch.next()).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'b' }, spec: { address: 'h:2' } } })
  watch.stop()
  await rest('DELETE', `${at('v1')}?fieldSelector=${encodeURIComponent('spec.address=k:2')}`)
  expect(await selected('v1', 'spec.address!=x')).toEqual(['a', 'c'])
})

it('server-side apply keeps the fields of managers of both versions', async () => {
  await define(webhook())
  const apply = (version: string, manager: string, spec: object) =>
    rest(
      'PATCH',
      `${at(version, 'a')}?fieldManager=${manager}`,
      { apiVersion: `${group}/${version}`, kind: 'Link', metadata: { name: 'a' }, spec },
      { headers: { 'content-type': 'application/apply-patch+yaml' } },
    )
  expect((await apply('v2', 'two', { host: 'h', port: '1' })).code).toBe(201)
  const conflict = await apply('v1', 'one', { address: 'h:2' })
  expect(conflict.code).toBe(409)
  expect((await apply('v1', 'one', { address: 'h:1' })).body.spec).toEqual({ address: 'h:1' })
})

it('a list is converted at once, and only what is of another version', async () => {
  await define(webhook())
  for (const name of ['a', 'b', 'c']) await create(name, `${name}:1`)
  hook.asked.length = 0
  const { body } = await rest('GET', at('v1'))
  expect(body.items.map((o: any) => o.spec.address)).toEqual(['a:1', 'b:1', 'c:1']) // any: as Rest
  // What was converted to be written, or to be shown, is known.
  expect(hook.asked.length).toBeLessThanOrEqual(1)
  expect((await rest('GET', at('v2'))).body.items).toHaveLength(3)
  expect(hook.asked.length).toBeLessThanOrEqual(1)
})

it('many objects are converted in batches', async () => {
  await define({ strategy: 'None' })
  const many = Array.from({ length: 501 }, (_, i) => `n${i}`)
  for (let i = 0; i < many.length; i += 50)
    await Promise.all(
      many
        .slice(i, i + 50)
        .map(name =>
          rest('POST', at('v2'), { apiVersion: `${group}/v2`, kind: 'Link', metadata: { name }, spec: { host: 'h', port: '1' } }),
        ),
    )
  const { body: before } = await rest('GET', `${definitions}/links.${group}`)
  await rest('PUT', `${definitions}/links.${group}`, { ...before, spec: { ...before.spec, conversion: webhook() } })
  const { body } = await rest('GET', at('v1'))
  expect(body.items.map((o: any) => o.spec.address)).toEqual(many.map(() => 'h:1')) // any: as Rest
  expect(hook.asked.map(({ review }) => review.request.objects.length)).toEqual([500, 1])
})

it('watches show objects in their version', async () => {
  await define(webhook())
  const [one, two] = await Promise.all([rest.watch(`${at('v1')}?watch=1`), rest.watch(`${at('v2')}?watch=1`)])
  await create('a', 'h:1')
  expect(await one.next()).toMatchObject({ type: 'ADDED', object: { apiVersion: `${group}/v1`, spec: { address: 'h:1' } } })
  expect(await two.next()).toMatchObject({ type: 'ADDED', object: { apiVersion: `${group}/v2`, spec: { host: 'h', port: '1' } } })
  one.stop()
  two.stop()
})

it('a new storage version is that of what is written from then on, also without a change', async () => {
  await define(webhook(), 'v1')
  await create('a', 'h:1')
  const path = `${definitions}/links.${group}`
  const { body: before } = await rest('GET', path)
  const { body: after } = await rest('PUT', path, { ...before, spec: definition('v2', webhook()).spec })
  expect(after.status.storedVersions).toEqual(['v1', 'v2'])
  const link = await rest('GET', at('v2', 'a'))
  expect(link.body.spec).toEqual({ host: 'h', port: '1' })
  const written = await rest('PUT', at('v2', 'a'), link.body)
  expect(written.body.metadata.resourceVersion).not.toBe(link.body.metadata.resourceVersion)
  const again = await rest('PUT', at('v2', 'a'), written.body)
  expect(again.body.metadata.resourceVersion).toBe(written.body.metadata.resourceVersion)
  // Nothing needs to be converted any more.
  hook.asked.length = 0
  hook.answer = (_review, _req, res) => void res.writeHead(500).end()
  expect((await rest('GET', at('v2', 'a'))).code).toBe(200)
})

it('labels and annotations may change, other metadata does not', async () => {
  await define(webhook())
  hook.answer = answerWith(({ request }) => ({
    convertedObjects: request.objects.map((o: any) => ({
      // any: objects of both versions
      ...convert(o, request.desiredAPIVersion),
      metadata: { ...o.metadata, labels: { converted: 'yes' }, finalizers: ['x.example.com/y'], generation: 17 },
    })),
  }))
  const { body } = await create('a', 'h:1')
  expect(body.metadata).toMatchObject({ labels: { converted: 'yes' }, generation: 1 })
  expect(body.metadata).not.toHaveProperty('finalizers')
})

describe('what fails', () => {
  const who = `conversion webhook for ${group}/v1, Kind=Link`
  const told = async (): Promise<string> => {
    const { code, body } = await create('a', 'h:1')
    expect({ code, reason: body.reason }).toEqual({ code: 500, reason: undefined })
    return body.message
  }
  const one = (change: (o: any) => unknown): Answer =>
    // any: objects of both versions
    answerWith(({ request }) => ({ convertedObjects: request.objects.map((o: object) => change(convert(o, request.desiredAPIVersion))) }))

  it('because nobody answers', async () => {
    const url = `https://127.0.0.1:${await freePort()}`
    await define(webhook({ clientConfig: { url, caBundle: hook.caBundle } }))
    const { host } = new URL(url)
    expect(await told()).toBe(`${who} failed: Post "${url}/?timeout=30s": dial tcp ${host}: connect: connection refused`)
  })

  it.each<[string, Answer, string | RegExp]>([
    ['a failure', answerWith(() => ({ result: { status: 'Failure', message: 'cannot' } })), `${who} failed: cannot`],
    [
      'a failure without a word',
      answerWith(() => ({ result: { status: 'Failure' } })),
      `${who} failed: response.result.status was 'Failure', not 'Success'`,
    ],
    ['another uid', answerWith(() => ({ uid: 'x' })), /failed: expected response.uid="[^"]+", got "x"$/],
    ['too few objects', answerWith(() => ({ convertedObjects: [] })), `${who} returned 0 objects, expected 1`],
    [
      'another version',
      one(o => ({ ...o, apiVersion: `${group}/v9` })),
      `${who} returned invalid object at index 0: invalid groupVersion (expected ${group}/v2, received ${group}/v9)`,
    ],
    [
      'another kind',
      one(o => ({ ...o, kind: 'Chain' })),
      `${who} returned invalid object at index 0: invalid kind (expected Link, received Chain)`,
    ],
    ['another name', one(o => ({ ...o, metadata: { ...o.metadata, name: 'b' } })), /must have the same name: a != b$/],
    [
      'labels that are none',
      one(o => ({ ...o, metadata: { ...o.metadata, labels: { x: 1 } } })),
      /metadata.labels\[x\] must be a string, but is number in converted object$/,
    ],
    ['wrong labels', one(o => ({ ...o, metadata: { ...o.metadata, labels: { '-x': '' } } })), /metadata.labels: Invalid value: "-x"/],
    ['no metadata', one(o => ({ ...o, metadata: undefined })), /missing metadata in converted object$/],
    ['nonsense', (_r, _q, res) => void res.end('hello'), /failed: couldn't get version\/kind; json parse error/],
    [
      'an error',
      (_r, _q, res) => void res.writeHead(500).end('broken'),
      `${who} failed: an error on the server ("broken") has prevented the request from succeeding`,
    ],
  ])('because it answers with %s', async (_what, answer, expected) => {
    await define(webhook())
    hook.answer = answer
    if (typeof expected === 'string') expect(await told()).toBe(expected)
    else expect(await told()).toMatch(expected)
  })

  it('only for versions that need it; a watch of one ends with an error', async () => {
    await define(webhook())
    await create('a', 'h:1')
    hook.answer = answerWith(() => ({ result: { status: 'Failure', message: 'cannot' } }))
    await rest('PATCH', at('v2', 'a'), { spec: { port: '7' } }, merge)
    expect((await rest('GET', at('v2', 'a'))).body.spec.port).toBe('7')
    expect((await rest('GET', at('v1'))).body.message).toBe(`conversion webhook for ${group}/v2, Kind=Link failed: cannot`)
    const watch = await rest.watch(`${at('v1')}?watch=1`)
    expect(await watch.next()).toMatchObject({ type: 'ERROR', object: { code: 500, message: expect.stringContaining('cannot') } })
    watch.stop()
  })
})
