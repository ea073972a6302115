/** The client of registries, against Debian's docker-registry. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseRegistries, readRegistries, type Registries } from '#node-agent/registry/registries.ts'
import { openRepository } from '#node-agent/registry/repository.ts'
import { newTransport } from '#node-agent/registry/transport.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'
import type { RegistryCredentials } from '#node-agent/runtime/imageservice.ts'
import { tarOf } from '../../fixtures/images.ts'
import { jane, pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'

const layer = tarOf([{ name: 'bin/hello', content: '#!/bin/sh\necho hello\n', mode: 0o755 }])

/** Opens a repository, has `work` done with it, and lets go of its connections. */
async function withRepository<T>(
  image: string,
  work: (repository: ReturnType<typeof openRepository>) => Promise<T>,
  { registries = readRegistries(undefined), credentials }: { registries?: Registries; credentials?: RegistryCredentials } = {},
): Promise<T> {
  const transport = newTransport(registries)
  try {
    const signal = new AbortController().signal
    return await work(openRepository({ reference: parseReference(image), registries, transport, credentials, signal }))
  } finally {
    transport.close()
  }
}

async function collect(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts)
}

describe('a registry without anything', () => {
  let registry: TestRegistry
  let pushed: Awaited<ReturnType<typeof pushImage>>
  beforeAll(async () => {
    registry = await startRegistry()
    pushed = await pushImage(registry, 'team/app', '1.0', { layers: [layer] })
  })
  afterAll(() => registry.close())

  it('resolves tags and digests, and gives manifests and blobs', async () => {
    for (const name of [`${registry.host}/team/app:1.0`, `${registry.host}/team/app@${pushed.digest}`])
      await withRepository(name, async repository => {
        const found = await repository.resolve()
        expect(found).toMatchObject({ digest: pushed.digest, size: pushed.size, mediaType: 'application/vnd.oci.image.manifest.v1+json' })
        const manifest = JSON.parse((await repository.manifest(found)).toString()) as { layers: { digest: string; size: number }[] }
        const [descriptor] = manifest.layers
        const whole = await collect(repository.blob(descriptor!, 0))
        expect(whole.length).toBe(descriptor!.size)
        expect(await collect(repository.blob(descriptor!, 100))).toEqual(whole.subarray(100))
      })
  })

  it('tells what is not there', async () => {
    for (const name of ['team/app:2.0', 'team/other:1.0', `team/app@sha256:${'0'.repeat(64)}`])
      await expect(withRepository(`${registry.host}/${name}`, r => r.resolve())).rejects.toThrow(/^not found$/)
  })

  it('is found by way of a mirror, under another name', async () => {
    const text = `
mirrors:
  docker.io:
    endpoint: ["http://127.0.0.1:1", "${registry.url}"]
    rewrite: {"^library/(.*)": "team/$1"}`
    const registries = parseRegistries(text, 'registries.yaml')
    await withRepository('app:1.0', async r => expect((await r.resolve()).digest).toBe(pushed.digest), { registries })
    // A mirror of several registries knows by it whose repository is meant.
    await expect.poll(() => registry.log().includes('ns=docker.io')).toBe(true)
  })
})

describe('a registry with TLS and a password', () => {
  let registry: TestRegistry
  let directory: string
  const registries = (more = ''): Registries =>
    parseRegistries(`configs:\n  "${registry.host}":\n    tls: {ca_file: ${registry.caFile}}\n${more}`, 'registries.yaml')
  const image = (): string => `${registry.host}/app:1`
  beforeAll(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'registries-'))
    registry = await startRegistry({ tls: true, password: true })
    await pushImage(registry, 'app', '1', { layers: [layer] })
  })
  afterAll(async () => {
    await registry.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it('lets in who has the password, of the pod or of the file', async () => {
    await withRepository(image(), r => r.resolve(), { registries: registries(), credentials: jane })
    await withRepository(image(), r => r.resolve(), { registries: registries('    auth: {username: jane, password: secret}') })
  })

  it('refuses who has none, or a wrong one', async () => {
    await expect(withRepository(image(), r => r.resolve(), { registries: registries() })).rejects.toThrow(
      'pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials',
    )
    await expect(
      withRepository(image(), r => r.resolve(), { registries: registries(), credentials: { ...jane, password: 'wrong' } }),
    ).rejects.toThrow(`unexpected status from HEAD request to https://${registry.host}/v2/app/manifests/1: 401 Unauthorized`)
  })

  it('is not trusted without its authority, unless that is asked for', async () => {
    const with_ = (tls: string): Registries => parseRegistries(`configs:\n  "${registry.host}":\n    tls: ${tls}`, 'registries.yaml')
    await expect(withRepository(image(), r => r.resolve(), { registries: with_('{}'), credentials: jane })).rejects.toThrow(
      /failed to do request: Head "https:.*x509: certificate signed by unknown authority/,
    )
    await withRepository(image(), r => r.resolve(), { registries: with_('{insecure_skip_verify: true}'), credentials: jane })
  })

  it('is no plain registry, nor is a plain one this', async () => {
    const plain = parseRegistries(`mirrors: {"${registry.host}": {endpoint: ["http://${registry.host}"]}}`, 'registries.yaml')
    await expect(withRepository(image(), r => r.resolve(), { registries: plain })).rejects.toThrow(/400 Bad Request/)
  })
})
