import { request as httpsRequest } from 'node:https'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from './setup.ts'

let api: ApiServerFixture
beforeAll(async () => void (api = await startTestApiServer()))
afterAll(() => api?.stop())

interface Raw {
  encoding: string | undefined
  vary: string | undefined
  /** As it was sent. */
  bytes: Buffer
  /** What it says: gunzip checks length and checksum. */
  value: any // any: lists and objects
}
const get = (path: string, headers: Record<string, string> = { 'accept-encoding': 'gzip' }): Promise<Raw> =>
  new Promise((resolve, reject) => {
    const req = httpsRequest(
      new URL(path, api.url),
      { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key, headers, agent: false },
      res => {
        const chunks: Buffer[] = []
        res.on('data', (c: Buffer) => chunks.push(c))
        res.on('error', reject)
        res.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const encoding = res.headers['content-encoding']
          try {
            resolve({
              encoding,
              vary: res.headers.vary,
              bytes,
              value: JSON.parse((encoding === 'gzip' ? gunzipSync(bytes) : bytes).toString()),
            })
          } catch (e) {
            reject(e as Error)
          }
        })
      },
    )
    req.on('error', reject)
    req.end()
  })

const text = (seed: number): string => Array.from({ length: 400 }, (_, i) => `line ${i * seed} of ${seed}`).join('\n')
const make = async (namespace: string, count: number): Promise<string> => {
  await api.rest('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
  const path = configMaps.replace('default', namespace)
  await Promise.all(Array.from({ length: count }, (_, i) => api.rest('POST', path, configMap(`c${i}`, { text: text(i) }))))
  return path
}

test('lists above 128 KiB, also when they are long; the list is the newest each time', async () => {
  const path = await make('lists', 200)
  for (const round of [0, 1, 2]) {
    const plain = await get(path, {})
    const small = await get(path)
    expect([plain.encoding, small.encoding, small.vary]).toEqual([undefined, 'gzip', 'Accept-Encoding'])
    expect(plain.bytes.length).toBeGreaterThan(1 << 20)
    expect(small.bytes.length).toBeLessThan(plain.bytes.length / 3)
    expect(small.value).toEqual(plain.value)
    // A write elsewhere moves the list's version only; one in the list its items too.
    const where = round === 0 ? configMaps : path
    const { body } = await api.rest('POST', where, configMap(`new-${round}`, { text: 'x' }))
    const { value } = await get(path)
    expect(Number(value.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(body.metadata.resourceVersion))
    expect(value.items.some((c: { metadata: { name: string } }) => c.metadata.name === `new-${round}`)).toBe(round !== 0)
  }
  const selected = await get(`${path}?fieldSelector=metadata.name%3Dc1`)
  expect([selected.encoding, selected.value.items.length]).toEqual([undefined, 1])
  const part = await get(`${path}?limit=100`)
  expect([part.encoding, part.value.items.length, part.value.metadata.remainingItemCount]).toEqual(['gzip', 100, 102])
  const table = await get(path, { 'accept-encoding': 'deflate, gzip;q=0', accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })
  expect(table.encoding).toBeUndefined()
})

test('one large object and the OpenAPI document; nothing that is small', async () => {
  await api.rest('POST', configMaps, configMap('large', { text: text(3).repeat(30) }))
  await api.rest('POST', configMaps, configMap('little'))
  const [large, little, document] = await Promise.all([get(`${configMaps}/large`), get(`${configMaps}/little`), get('/openapi/v2')])
  expect([large.encoding, little.encoding, document.encoding]).toEqual(['gzip', undefined, 'gzip'])
  expect(large.value).toEqual((await get(`${configMaps}/large`, {})).value)
  expect(document.value.swagger).toBe('2.0')
})
