/** No write makes another kind of an object: kind and apiVersion are those of the path, whatever a patch or a body says. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { configMap, configMaps, jsonPatch, merge, strategic } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const deployments = '/apis/apps/v1/namespaces/default/deployments'
const events = '/apis/events.k8s.io/v1/namespaces/default/events'
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
  await rest('POST', configMaps, configMap('x'))
  await rest('POST', deployments, { metadata: { name: 'x' }, spec: { selector: { matchLabels: { a: 'b' } }, template } })
  await rest('POST', '/api/v1/namespaces/default/events', {
    metadata: { name: 'x' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' },
  })
})
afterAll(() => api?.stop())

const paths = [`${configMaps}/x`, `${deployments}/x`, `${deployments}/x/status`, `${deployments}/x/scale`, `${events}/x`]
const replacing = (path: string, value: unknown): object[] => [{ op: 'replace', path, value }]

it.each(paths)('%s', async path => {
  const { body: before } = await rest('GET', path)
  const message = (kind: string, version: string): RegExp =>
    new RegExp(` "" is invalid: patch: Invalid value: .*: no kind "${kind}" is registered for version "${version}" in scheme "pkg/api`)
  const refused = async (body: unknown, options: object, kind = before.kind, version = before.apiVersion): Promise<void> => {
    const reply = await rest('PATCH', path, body, options)
    expect(reply.body).toMatchObject({ code: 422, reason: 'Invalid', message: expect.stringMatching(message(kind, version)) })
  }
  await refused({ kind: 'Secret' }, merge, 'Secret')
  await refused({ apiVersion: 'foo/v9' }, merge, before.kind, 'foo/v9')
  await refused(replacing('/kind', 'Secret'), jsonPatch, 'Secret')
  await refused(replacing('/apiVersion', 'foo/v9'), jsonPatch, before.kind, 'foo/v9')
  // Upstream patches a struct whose type is given.
  const patched = await rest('PATCH', path, { kind: 'Secret', apiVersion: 'foo/v9' }, strategic)
  expect(patched).toMatchObject({ code: 200, body: { kind: before.kind, apiVersion: before.apiVersion } })
  expect(await rest('PUT', path, { ...before, kind: 'Secret' })).toMatchObject({ code: 400, body: { reason: 'BadRequest' } })
  expect((await rest('PUT', path, { ...before, apiVersion: 'foo/v9' })).body).toMatchObject({
    code: 400,
    message: `the API version in the data (foo/v9) does not match the expected API version (${before.apiVersion})`,
  })
  if (!path.endsWith('/scale')) {
    const applied = (body: object) => rest('PATCH', `${path}?fieldManager=me`, { ...body, metadata: { name: 'x' } }, applyPatch)
    const applyPatch = { headers: { 'content-type': 'application/apply-patch+yaml' } }
    expect((await applied({ kind: 'Secret', apiVersion: before.apiVersion })).body.message).toContain('Incorrect kind specified')
    expect((await applied({ kind: before.kind, apiVersion: 'foo/v9' })).body.message).toContain('Incorrect version specified')
  }
  // Nulls leave what the path says.
  expect(await rest('PATCH', path, { kind: null, apiVersion: null }, merge)).toMatchObject({ code: 200, body: { kind: before.kind } })
  const { body: after } = await rest('GET', path)
  expect([after.kind, after.apiVersion]).toEqual([before.kind, before.apiVersion])
})
