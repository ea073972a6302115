import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())

it('requests and watches outlive a crash of nats-server', async () => {
  await rest('POST', configMaps, configMap('before'))
  const w = await rest.watch(`${configMaps}?watch=true`)
  expect((await w.next()).object.metadata.name).toBe('before')
  await api.nats.kill()
  await expect.poll(async () => (await rest('GET', '/readyz')).code).toBe(500)
  expect((await rest('GET', '/readyz/etcd')).text).toBe('internal server error: the registry is not reachable\n')
  expect((await rest('GET', '/livez/ping')).code).toBe(200)
  // What any version will do for is served from memory.
  expect((await rest('GET', `${configMaps}/before?resourceVersion=0`)).code).toBe(200)
  const read = rest('GET', `${configMaps}/before`)
  const written = rest('POST', configMaps, configMap('during'))
  await api.nats.restart()
  expect((await read).code).toBe(200)
  expect((await written).code).toBe(201)
  expect(await w.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'during' } } })
  await expect.poll(async () => (await rest('GET', '/readyz')).code).toBe(200)
  w.stop()
})

it('a request may end before the store is back', async () => {
  await api.nats.kill()
  const { code, body } = await rest('GET', `${configMaps}/before?timeout=300ms`)
  expect(code).toBe(504)
  expect(body).toMatchObject({ reason: 'Timeout' })
  await api.nats.restart()
  await expect.poll(async () => (await rest('GET', `${configMaps}/before?timeout=300ms`)).code, { timeout: 10_000 }).toBe(200)
})
