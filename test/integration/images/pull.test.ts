/** Pulls by image-puller, as a node-agent has them done, into a store that is unpacked. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { registryFetch } from '#node-agent/registry/puller.ts'
import { openImageStore, type ImageStore, type StoredImage } from '#node-agent/runtime/images/imagestore.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'
import type { PullOptions } from '#node-agent/runtime/imageservice.ts'
import { tarOf } from '../../fixtures/images.ts'
import {
  ask,
  goArchitecture,
  jane,
  pushBlob,
  pushImage,
  pushIndex,
  pushManifest,
  startRegistry,
  type TestRegistry,
} from '../../fixtures/registry.ts'
import { standIn } from '../../fixtures/standin-registry.ts'

let directory: string
let registry: TestRegistry
let closed: TestRegistry
let store: ImageStore
let fetch: (name: string, options?: Partial<PullOptions>) => Promise<StoredImage>
const layerOf = (text: string): Buffer => tarOf([{ name: 'file', content: text }])

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'pull-'))
  ;[registry, closed] = await Promise.all([startRegistry(), startRegistry({ password: true })])
  store = await openImageStore(path.join(directory, 'store'))
  const pull = registryFetch(store, {})
  fetch = (name, options = {}) => pull(parseReference(name), { signal: new AbortController().signal, ...options })
})
afterAll(async () => {
  await Promise.all([registry.close(), closed.close()])
  rmSync(directory, { recursive: true, force: true })
})
const fileOf = async (image: StoredImage): Promise<string> => {
  const { layers } = await store.layers(image)
  return readFileSync(path.join(layers[0]!.directory, 'file'), 'utf8')
}

it('gets an image of several layers, and asks but once when it has it', async () => {
  const layers = ['one', 'two', 'three', 'four', 'five'].map(layerOf)
  const pushed = await pushImage(registry, 'team/app', '1.0', { layers, config: { Cmd: ['/file'] } })
  const image = await fetch(`${registry.host}/team/app:1.0`)
  expect(image).toMatchObject({ id: pushed.config, manifest: pushed.digest })
  expect(image.names.sort()).toEqual([`${registry.host}/team/app:1.0`, `${registry.host}/team/app@${pushed.digest}`])
  expect(await fileOf(image)).toBe('five')
  const requests = (): string[] => [...registry.log().matchAll(/"((?:GET|HEAD) \/v2\/team\/app\/\S+)/g)].map(([, line]) => line!)
  const before = requests().length
  expect((await fetch(`${registry.host}/team/app:1.0`)).id).toBe(pushed.config)
  await expect.poll(() => requests().slice(before)).toEqual(['HEAD /v2/team/app/manifests/1.0'])
  // The tag goes on to another image; the old one keeps its digest.
  const newer = await pushImage(registry, 'team/app', '1.0', { layers: [layerOf('new')] })
  expect((await fetch(`${registry.host}/team/app:1.0`)).id).toBe(newer.config)
  expect((await store.find(`${registry.host}/team/app@${pushed.digest}`))!.names).toEqual([`${registry.host}/team/app@${pushed.digest}`])
  expect((await fetch(`${registry.host}/team/app@${pushed.digest}`)).id).toBe(pushed.config)
})

it('takes of an index what is for this machine', async () => {
  const ours = await pushImage(registry, 'multi', undefined, { layers: [layerOf('ours')] })
  const other = await pushImage(registry, 'multi', undefined, { layers: [layerOf('other')], architecture: 's390x' })
  const unknown = { os: 'unknown', architecture: 'unknown' }
  const index = await pushIndex(registry, 'multi', '1', [
    { digest: other.digest, size: other.size, platform: unknown },
    { digest: other.digest, size: other.size, platform: { os: 'linux', architecture: 's390x' } },
    { digest: ours.digest, size: ours.size, platform: { os: 'linux', architecture: goArchitecture } },
  ])
  const image = await fetch(`${registry.host}/multi:1`)
  expect(await fileOf(image)).toBe('ours')
  expect(image.names).toContain(`${registry.host}/multi@${index.digest}`)
  await pushIndex(registry, 'multi', '2', [{ digest: other.digest, size: other.size, platform: { os: 'linux', architecture: 's390x' } }])
  await expect(fetch(`${registry.host}/multi:2`)).rejects.toThrow(
    `failed to pull and unpack image "${registry.host}/multi:2": no match for platform in manifest: not found`,
  )
})

it('tries the credentials in turn, and says which were good', async () => {
  const { config } = await pushImage(closed, 'app', '1', { layers: [layerOf('closed')] })
  const name = `${closed.host}/app:1`
  const resolving = `failed to pull and unpack image "${name}": failed to resolve reference "${name}": `
  await expect(fetch(name)).rejects.toThrow(`${resolving}pull access denied, repository does not exist or may require authorization`)
  const wrong = { username: 'jane', password: 'wrong' }
  await expect(fetch(name, { credentials: [wrong, wrong] })).rejects.toThrow(
    `${resolving}unexpected status from HEAD request to ${closed.url}/v2/app/manifests/1: 401 Unauthorized`,
  )
  const let_: (number | undefined)[] = []
  expect((await fetch(name, { credentials: [wrong, jane], onAccess: n => let_.push(n) })).id).toBe(config)
  expect(let_).toEqual([1])
})

it('tells in the words of containerd what is wrong', async () => {
  const name = `${registry.host}/nowhere:1`
  await expect(fetch(name)).rejects.toThrow(
    `failed to pull and unpack image "${name}": failed to resolve reference "${name}": ${name}: not found`,
  )
  await expect(fetch('127.0.0.1:1/app:1')).rejects.toMatchObject({
    reason: 'RegistryUnavailable',
    message: expect.stringContaining('dial tcp 127.0.0.1:1: connect: connection refused') as string,
  })
  const config = await pushBlob(registry, 'odd', Buffer.from('{}'))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  await pushManifest(registry, 'odd', 'empty', {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [],
  })
  await expect(fetch(`${registry.host}/odd:empty`)).rejects.toThrow(
    /^failed to pull and unpack image ".*": .*image configuration.*is not valid/,
  )
  const old = await standIn((_, response) => {
    const body = JSON.stringify({ schemaVersion: 1, name: 'app', tag: '1', fsLayers: [], history: [] })
    response.writeHead(200, { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' }).end(body)
  })
  await expect(fetch(`${old.host}/app:1`)).rejects.toThrow(/schema version 1/)
  await old.close()
})

it('a pull that is ended in its middle is gone on with by the next', async () => {
  const layer = tarOf([{ name: 'file', content: randomBytes(6_000_000).toString('hex') }])
  const { layers } = await pushImage(registry, 'big', '1', { layers: [layer] })
  const blob = (await ask(registry, 'GET', `/v2/big/blobs/${layers[0]!.digest}`)).body
  const ranges: (string | undefined)[] = []
  // In the way: it keeps back what comes behind the half of the layer, once.
  const between = await standIn((request, response) => {
    if (!request.url!.includes(layers[0]!.digest)) {
      http.get(`${registry.url}${request.url}`, { method: request.method!, headers: { accept: request.headers.accept ?? '' } }, answer => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      })
      return
    }
    ranges.push(request.headers.range)
    const from = Number(/\d+/.exec(request.headers.range ?? '0')![0])
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': blob.length - from,
      ...(from > 0 ? { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` } : {}),
    })
    if (ranges.length === 1) response.write(blob.subarray(0, blob.length >> 1))
    else response.end(blob.subarray(from))
  })
  const stop = new AbortController()
  const first = fetch(`${between.host}/big:1`, { signal: stop.signal })
  first.catch(() => {})
  const beginnings = path.join(directory, 'store', 'ingest')
  await expect.poll(() => readdirSync(beginnings).some(name => statSync(path.join(beginnings, name)).size === blob.length >> 1)).toBe(true)
  stop.abort(new Error('the pod was deleted'))
  await expect(first).rejects.toThrow('the pod was deleted')
  const image = await fetch(`${between.host}/big:1`)
  expect((await fileOf(image)).length).toBe(12_000_000)
  expect(ranges).toEqual([undefined, `bytes=${blob.length >> 1}-`])
  await between.close()
})
