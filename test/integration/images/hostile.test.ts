/** Registries that break off, lie, or want too much. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { readRegistries } from '#node-agent/registry/registries.ts'
import { openRepository, type Repository } from '#node-agent/registry/repository.ts'
import { newTransport } from '#node-agent/registry/transport.ts'
import { openContentStore } from '#node-agent/runtime/images/content.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'
import type { RegistryCredentials } from '#node-agent/runtime/imageservice.ts'
import { standIn, type StandIn } from '../../fixtures/standin-registry.ts'
import { jane, sha256 } from '../../fixtures/registry.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function server(...of: Parameters<typeof standIn>): Promise<StandIn> {
  const made = await standIn(...of)
  ends.push(() => made.close())
  return made
}
function open(host: string, name = 'app:1', credentials?: RegistryCredentials): Repository {
  const registries = readRegistries(undefined)
  const transport = newTransport(registries)
  ends.push(() => transport.close())
  const { signal } = new AbortController()
  return openRepository({ reference: parseReference(`${host}/${name}`), registries, transport, credentials, signal })
}
async function content(): Promise<Awaited<ReturnType<typeof openContentStore>>> {
  const directory = mkdtempSync(path.join(tmpdir(), 'content-'))
  ends.push(() => rmSync(directory, { recursive: true, force: true }))
  return await openContentStore(directory)
}

it('a download that breaks off goes on where it was', async () => {
  const bytes = randomBytes(1_000_000)
  const descriptor = { digest: sha256(bytes), size: bytes.length }
  const ranges: (string | undefined)[] = []
  const registry = await server((request, response) => {
    const { range } = request.headers
    ranges.push(range)
    const from = Number(/\d+/.exec(range ?? '0')![0])
    response.writeHead(range ? 206 : 200, {
      'content-length': bytes.length - from,
      ...(range ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    })
    // The first two get a part.
    if (ranges.length > 2) response.end(bytes.subarray(from))
    else response.write(bytes.subarray(from, from + 300_000), () => response.destroy())
  })
  const store = await content()
  const lease = await store.lease()
  const repository = open(registry.host)
  await lease.ingest(descriptor, offset => repository.blob(descriptor, offset))
  expect(await store.has(descriptor)).toBe(true)
  expect(ranges[0]).toBeUndefined()
  expect(ranges).toHaveLength(3)
  expect(Number(/\d+/.exec(ranges[2]!)![0])).toBeGreaterThan(300_000)
  await lease.release()
})

it('and so from a server that knows no ranges', async () => {
  const bytes = randomBytes(500_000)
  const descriptor = { digest: sha256(bytes), size: bytes.length }
  const registry = await server((_, response) => {
    response.writeHead(200, { 'content-length': bytes.length })
    if (registry.asked.length > 1) response.end(bytes)
    else response.write(bytes.subarray(0, 200_000), () => response.destroy())
  })
  const parts: Buffer[] = []
  for await (const part of open(registry.host).blob(descriptor, 0)) parts.push(part)
  expect(Buffer.concat(parts).equals(bytes)).toBe(true)
})

it('one that is busy is asked again when it says', async () => {
  const registry = await server((_, response) => {
    if (registry.asked.length === 1) response.writeHead(429, { 'retry-after': '0' }).end()
    else if (registry.asked.length === 2) response.writeHead(503).end()
    else response.writeHead(200, { 'docker-content-digest': `sha256:${'a'.repeat(64)}`, 'content-length': 5 }).end()
  })
  expect(await open(registry.host).resolve()).toMatchObject({ digest: `sha256:${'a'.repeat(64)}` })
  expect(registry.asked).toHaveLength(3)
})

it('one that redirects for ever is left', async () => {
  const registry = await server((request, response) => response.writeHead(307, { location: `${request.url}x` }).end())
  await expect(open(registry.host).resolve()).rejects.toThrow('stopped after 10 redirects')
  expect(registry.asked).toHaveLength(11)
})

it('one that redirects to a file is refused', async () => {
  const registry = await server((_, response) => response.writeHead(307, { location: 'file:///etc/passwd' }).end())
  await expect(open(registry.host).resolve()).rejects.toThrow('unsupported protocol scheme "file"')
})

it('credentials do not follow a redirect to another host', async () => {
  const other = await server((_, response) => response.end('blob'))
  const registry = await server((request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    else response.writeHead(307, { location: `${other.url}/elsewhere` }).end()
  })
  const parts: Buffer[] = []
  for await (const part of open(registry.host, 'app:1', jane).blob({ digest: `sha256:${'a'.repeat(64)}`, size: 4 }, 0)) parts.push(part)
  expect(Buffer.concat(parts).toString()).toBe('blob')
  expect(registry.headers.at(-1)!.authorization).toMatch(/^Basic /)
  expect(other.headers[0]!.authorization).toBeUndefined()
})

it('a manifest that is too large, wrong, or no JSON is an error', async () => {
  const endless = await server((request, response) => {
    if (request.method === 'HEAD') return void response.writeHead(200).end()
    const more = (): void => void (response.write(Buffer.alloc(1 << 16)) ? setImmediate(more) : response.once('drain', more))
    more()
  })
  await expect(open(endless.host).resolve()).rejects.toThrow('the answer has more than 4194304 bytes')
  const huge = await server((_, response) =>
    response.writeHead(200, { 'docker-content-digest': `sha256:${'a'.repeat(64)}`, 'content-length': 5 << 20 }).end(),
  )
  await expect(open(huge.host).resolve()).rejects.toThrow('rejecting 5242880 bytes of manifest, more than 4194304')
  const lying = await server((_, response) => response.end('{}'))
  await expect(open(lying.host).manifest({ digest: `sha256:${'a'.repeat(64)}` })).rejects.toThrow(
    `unexpected commit digest ${sha256(Buffer.from('{}'))}, expected sha256:${'a'.repeat(64)}: failed precondition`,
  )
  await expect(open(lying.host, `app@sha256:${'a'.repeat(64)}`).manifest({ digest: `sha256:${'a'.repeat(64)}` })).rejects.toThrow(
    'unexpected commit digest',
  )
})

it('a blob of another digest, or without end, is not kept', async () => {
  const store = await content()
  const lease = await store.lease()
  const wanted = { digest: `sha256:${'b'.repeat(64)}`, size: 100_000 }
  const wrong = await server((_, response) => response.end(Buffer.alloc(100_000)))
  const ofWrong = open(wrong.host)
  await expect(lease.ingest(wanted, offset => ofWrong.blob(wanted, offset))).rejects.toThrow('another digest')
  const endless = await server((_, response) => {
    const more = (): void =>
      void (response.destroyed || (response.write(Buffer.alloc(1 << 16)) ? setImmediate(more) : response.once('drain', more)))
    more()
  })
  const ofEndless = open(endless.host)
  await expect(lease.ingest(wanted, offset => ofEndless.blob(wanted, offset))).rejects.toThrow('more than the 100000 bytes')
  expect(await store.has(wanted)).toBe(false)
  await lease.release()
})

it('answers that are no HTTP, and servers that are not there, are told', async () => {
  await expect(open('127.0.0.1:1').resolve()).rejects.toThrow(
    'failed to do request: Head "http://127.0.0.1:1/v2/app/manifests/1": dial tcp 127.0.0.1:1: connect: connection refused',
  )
  const rude = await server((request, response) => void (response.socket!.write('hello there\r\n\r\n'), response.socket!.end()))
  await expect(open(rude.host).resolve()).rejects.toThrow(/malformed HTTP response/)
})
