/** Objects that are stored encrypted: what the store's files hold, rotation of keys, several servers, a KMS plugin. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { startKmsPlugin, type KmsPlugin } from '../../fixtures/kms-plugin.ts'
import { configMap, configMaps, merge } from './setup.ts'

const secrets = '/api/v1/namespaces/default/secrets'
const key = (name: string) => ({ name, secret: randomBytes(32).toString('base64') })
let dir: string
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'cox-encryption-'))))
afterAll(() => rm(dir, { recursive: true, force: true }))

let files = 0
async function configOf(providers: object[], resources = ['secrets']): Promise<string> {
  const file = join(dir, `config-${files++}.yaml`)
  await writeFile(
    file,
    JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources: [{ resources, providers }] }),
  )
  return file
}
const secret = (name: string, password: string) => ({ metadata: { name }, stringData: { password } })

/** Whether any file of the store holds a text, as it is or in base64. */
async function stored(api: ApiServerFixture, text: string): Promise<boolean> {
  const names = await readdir(api.nats.storeDir, { recursive: true, withFileTypes: true })
  const encoded = Buffer.from(text).toString('base64').replaceAll('=', '').slice(0, -2)
  for (const entry of names) {
    if (!entry.isFile()) continue
    const data = await readFile(join(entry.parentPath, entry.name))
    if (data.includes(text) || data.includes(encoded)) return true
  }
  return false
}

describe('local keys', () => {
  let api: ApiServerFixture
  const old = { secretbox: { keys: [key('old')] } }
  const young = { aesgcm: { keys: [key('young')] } }
  beforeAll(async () => {
    api = await startTestApiServer({ encryptionProviderConfig: await configOf([old, { identity: {} }], ['secrets', 'deployments.apps']) })
  })
  afterAll(() => api?.stop())

  test('secrets are nowhere in the files of the store; what is not asked for is', async () => {
    await api.rest('POST', secrets, secret('a', 'swordfish-a'))
    await api.rest('POST', configMaps, configMap('plain', { text: 'trumpet-plain' }))
    await api.rest('PATCH', `${secrets}/a`, { stringData: { password: 'swordfish-b' } }, merge)
    expect(Buffer.from((await api.rest('GET', `${secrets}/a`)).body.data.password, 'base64').toString()).toBe('swordfish-b')
    expect(await stored(api, 'trumpet-plain')).toBe(true)
    expect(await stored(api, 'k8s:enc:secretbox:v1:old:')).toBe(true)
    expect([await stored(api, 'swordfish-a'), await stored(api, 'swordfish-b')]).toEqual([false, false])
  })

  test('a write that changes nothing writes nothing, until the key is another: then it rewrites', async () => {
    const { body: before } = await api.rest('GET', `${secrets}/a`)
    expect((await api.rest('PUT', `${secrets}/a`, before)).body.metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    // Rotation as upstream describes it: every server knows the new key before one writes with it.
    const both = await api.startAnother({ encryptionProviderConfig: await configOf([old, young, { identity: {} }]) })
    const rotated = await api.startAnother({ encryptionProviderConfig: await configOf([young, old, { identity: {} }]) })
    const watch = await both.rest.watch(`${secrets}?watch=1&resourceVersion=${before.metadata.resourceVersion}`)
    const { body: after } = await rotated.rest('PUT', `${secrets}/a`, before)
    expect(after.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion)
    expect((await watch.next()).object.data).toEqual(before.data)
    watch.stop()
    expect((await rotated.rest('PUT', `${secrets}/a`, after)).body.metadata.resourceVersion).toBe(after.metadata.resourceVersion)
    expect(await stored(api, 'k8s:enc:aesgcm:v1:young:')).toBe(true)
    // A server that came before the rotation knows the key no more: it refuses, rather than show what was before.
    await expect.poll(async () => (await api.rest('GET', `${secrets}/a`)).code).toBe(500)
    const { body: refused } = await api.rest('GET', secrets)
    expect(refused.message).toBe(
      'Internal error occurred: unable to transform key "/registry/secrets/default/a": identity transformer tried to read encrypted data',
    )
    expect((await api.rest('PUT', `${secrets}/a`, before)).code).toBe(500)
    expect((await api.rest('GET', configMaps)).code).toBe(200)
    // The old key is not needed any more.
    const last = await api.startAnother({ encryptionProviderConfig: await configOf([young]) })
    expect((await last.rest('GET', `${secrets}/a`)).body.data).toEqual(before.data)
    expect((await last.rest('DELETE', `${secrets}/a`)).code).toBe(200)
    await expect.poll(async () => (await api.rest('GET', `${secrets}/a`)).code).toBe(404)
  })

  test('a server without keys refuses what is encrypted', async () => {
    await api.rest('POST', secrets, secret('c', 'x'))
    const { encryptionProviderConfig: _, ...options } = api.options
    const none = await api.startAnother({ ...options, encryptionProviderConfig: undefined })
    expect((await none.rest('GET', `${secrets}/c`)).body).toMatchObject({
      code: 500,
      message: expect.stringContaining('unable to transform key "/registry/secrets/default/c"'),
    })
    await api.rest('DELETE', `${secrets}/c`)
    await expect.poll(async () => (await none.rest('GET', secrets)).code).toBe(200)
  })

  test('bytes that were moved to another place are not read', async () => {
    const gcm = await api.startAnother({ encryptionProviderConfig: await configOf([young]) })
    await gcm.rest('POST', secrets, secret('mine', 'x'))
    const registry = await api.nats.connect('registry')
    const js = registry.nats.jetstream()
    const jsm = await registry.nats.jetstreamManager()
    const info = await jsm.streams.info('registry', { subjects_filter: 'registry.*.secrets.default.mine' })
    const [subject] = Object.keys(info.state.subjects ?? {})
    const message = await jsm.streams.getMessage('registry', { last_by_subj: subject! })
    await js.publish(subject!.replace(/mine$/, 'theirs'), message.data)
    await expect.poll(async () => (await gcm.rest('GET', `${secrets}/theirs`)).code).toBe(500)
    expect((await gcm.rest('GET', `${secrets}/mine`)).code).toBe(200)
  })

  test('a configuration that changes is read again, by all that is stored', async () => {
    const file = await configOf([old])
    const { rest } = await api.startAnother({ encryptionProviderConfig: file, encryptionProviderConfigAutomaticReload: true })
    const reloads = async () =>
      (await rest('GET', '/metrics')).text
        .split('\n')
        .filter(l => l.startsWith('apiserver_encryption_config_controller_automatic_reloads_total{'))
    const before = (await rest('POST', secrets, secret('again', 'swordfish-again'))).body
    expect((await rest('PUT', `${secrets}/again`, before)).body.metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    await writeFile(file, 'nonsense')
    await expect.poll(reloads).toEqual([expect.stringMatching(/status="failure"/)])
    const rewritten = async () => (await rest('PUT', `${secrets}/again`, before)).body.metadata?.resourceVersion
    expect(await rewritten()).toBe(before.metadata.resourceVersion)
    const third = { aesgcm: { keys: [key('third')] } }
    await writeFile(file, await readFile(await configOf([third, old]), 'utf8'))
    await expect.poll(rewritten).not.toBe(before.metadata.resourceVersion)
    expect(await stored(api, 'k8s:enc:aesgcm:v1:third:')).toBe(true)
    // The other servers do not know that key.
    await rest('DELETE', `${secrets}/again`)
    expect((await rest('GET', '/healthz/kms-providers')).text).toBe('ok')
  })

  test('a configuration that is wrong is told at the start', async () => {
    const start = api.startAnother({ encryptionProviderConfig: await configOf([{ aesgcm: { keys: [] } }]) })
    await expect(start).rejects.toThrow(/resources\[0\].providers\[0\].aesgcm.keys: Required value: .*: from file .*config-/)
  })
})

describe('a KMS plugin', () => {
  let api: ApiServerFixture
  let kms: KmsPlugin
  let config: string
  beforeAll(async () => {
    kms = await startKmsPlugin(dir)
    config = await configOf([{ kms: { apiVersion: 'v2', name: 'test', endpoint: kms.endpoint, timeout: '1s' } }])
    api = await startTestApiServer({ encryptionProviderConfig: config })
  })
  afterAll(async () => {
    await api?.stop()
    await kms?.stop()
  })
  const health = async (rest = api.rest) => (await rest('GET', '/healthz?verbose=1')).text

  test('encrypts one seed for all objects', async () => {
    for (const name of ['a', 'b', 'c']) await api.rest('POST', secrets, secret(name, `swordfish-${name}`))
    expect(kms.encrypted).toBe(1)
    expect(await stored(api, 'k8s:enc:kms:v2:test:')).toBe(true)
    expect(await stored(api, 'swordfish-')).toBe(false)
    expect(await health()).toContain('[+]kms-provider-0 ok')
  })

  test('another server asks once for the seed of the first', async () => {
    const other = await api.startAnother()
    expect((await other.rest('GET', secrets)).body.items).toHaveLength(3)
    expect(kms.decrypted).toBe(1)
    const { body } = await other.rest('GET', `${secrets}/a`)
    expect((await other.rest('PUT', `${secrets}/a`, body)).body.metadata.resourceVersion).toBe(body.metadata.resourceVersion)
  })

  test('with another key, what is written is rewritten', async () => {
    kms.rotate()
    const other = await api.startAnother()
    const { body } = await other.rest('GET', `${secrets}/a`)
    const { body: after } = await other.rest('PUT', `${secrets}/a`, body)
    expect(after.metadata.resourceVersion).not.toBe(body.metadata.resourceVersion)
    await expect
      .poll(async () => (await api.rest('GET', `${secrets}/a`)).body.metadata?.resourceVersion)
      .toBe(after.metadata.resourceVersion)
  })

  test('when it is away a server starts, says so, refuses, and reads when it is back', async () => {
    await kms.pause()
    const { rest } = await api.startAnother()
    expect(await health(rest)).toContain('[-]kms-provider-0 failed')
    expect((await rest('GET', secrets)).body).toMatchObject({ code: 500, message: expect.stringContaining('failed to decrypt DEK') })
    expect((await rest('POST', secrets, secret('d', 'x'))).code).toBe(500)
    // Who knows its seeds goes on.
    expect((await api.rest('GET', secrets)).code).toBe(200)
    expect((await api.rest('POST', secrets, secret('e', 'x'))).code).toBe(201)
    await kms.resume()
    await expect.poll(async () => (await rest('GET', secrets)).body.items?.length).toBe(4)
    await expect.poll(() => health(rest)).toContain('[+]kms-provider-0 ok')
    expect((await rest('POST', secrets, secret('d', 'x'))).code).toBe(201)
  })
})
