import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { logger } from '#shared/component/log.ts'
import { credentialProviders } from '#node-agent/kubelet/images/credentialprovider.ts'
import { dockerConfigCredentials } from '#node-agent/kubelet/images/dockerconfig.ts'
import { imageGC, type ImageGCPolicy } from '#node-agent/kubelet/images/gc.ts'
import type { ImageUser } from '#node-agent/kubelet/images/nodecredentials.ts'
import type { PodSources } from '#node-agent/kubelet/sources.ts'
import { pullRecords } from '#node-agent/kubelet/images/pullrecords.ts'
import { imageUses } from '#node-agent/kubelet/images/uses.ts'
import { nodeImages } from '#node-agent/kubelet/node/images.ts'
import type { ImageSummary } from '#node-agent/runtime/imageservice.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'

let directory: string
beforeEach(() => (directory = mkdtempSync(path.join(tmpdir(), 'images-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const secret = (name: string, credentialHash = name) => ({ uid: `uid-${name}`, namespace: 'ns', name, credentialHash })
const pulled = { repository: 'r/app', imageRef: 'r/app@sha256:1' }

describe('records of pulls', () => {
  test('an image that was there before is for all, one that was pulled with a Secret for who has it', async () => {
    const records = pullRecords(directory, 'NeverVerifyPreloadedImages')
    expect(await records.mustVerify('r/app:1', 'r/app', 'r/app@sha256:1', [])).toBe(false)
    await records.begin('r/app:1')
    // A kubelet that died here does not know who let it in.
    expect(await records.mustVerify('r/app:1', 'r/app', 'r/app@sha256:1', [])).toBe(true)
    await records.end('r/app:1', { ...pulled, by: secret('a') })
    const asks = (...secrets: ReturnType<typeof secret>[]): Promise<boolean> =>
      pullRecords(directory, 'NeverVerifyPreloadedImages').mustVerify('r/app:1', 'r/app', 'r/app@sha256:1', secrets)
    expect(await asks()).toBe(true)
    expect(await asks(secret('b'))).toBe(true)
    expect(await asks(secret('a'))).toBe(false)
    // The Secret was rotated; another holds the same.
    expect(await asks(secret('a', 'new'))).toBe(false)
    expect(await asks(secret('c', 'new'))).toBe(false)
    expect(await asks(secret('c', 'newer'))).toBe(false)
    // Service accounts are another matter, whatever they are called.
    const account = (name: string) => ({ uid: `uid-${name}`, namespace: 'ns', name })
    const asksAs = (name: string) => records.mustVerify('r/app:1', 'r/app', 'r/app@sha256:1', [account(name)])
    expect(await asksAs('a')).toBe(true)
    await records.end('r/app:1', { ...pulled, by: account('s') })
    expect([await asksAs('s'), await asksAs('t'), await asks(secret('a')), await asks(secret('s'))]).toEqual([false, true, false, true])
    // The same image by another name was never asked for.
    expect(await records.mustVerify('s/app:1', 's/app', 'r/app@sha256:1', [secret('a')])).toBe(true)
    await records.end('r/app:1', { ...pulled, by: 'anybody' })
    expect(await asks()).toBe(false)
    expect(readdirSync(path.join(directory, 'pulling'))).toEqual([])
    await records.forget('r/app@sha256:1')
    expect(readdirSync(path.join(directory, 'pulled'))).toEqual([])
  })
  test('of two pulls at the same time one that fails takes nothing from the other', async () => {
    const records = pullRecords(directory, 'NeverVerifyPreloadedImages')
    await records.begin('r/app:1')
    await records.begin('r/app:1')
    await records.end('r/app:1')
    // Its image may be there already: nobody was let in yet.
    expect(await records.mustVerify('r/app:1', 'r/app', 'r/app@sha256:1', [])).toBe(true)
    await records.end('r/app:1')
    expect(readdirSync(path.join(directory, 'pulling'))).toEqual([])
  })
  test('a pull that failed leaves nothing; policies', async () => {
    const of = (...policy: [Parameters<typeof pullRecords>[1], string[]?]) => pullRecords(directory, ...policy)
    await of('AlwaysVerify').begin('r/app:1')
    await of('AlwaysVerify').end('r/app:1')
    const asks = (...policy: Parameters<typeof of>): Promise<boolean> => of(...policy).mustVerify('r/app:1', 'r/app', 'id', [])
    expect(await asks('NeverVerifyPreloadedImages')).toBe(false)
    expect(await asks('AlwaysVerify')).toBe(true)
    expect(await asks('NeverVerify')).toBe(false)
    expect(await asks('NeverVerifyAllowlistedImages', ['r/*'])).toBe(false)
    expect(await asks('NeverVerifyAllowlistedImages', ['r/ap'])).toBe(true)
  })
})

describe('image garbage collection', () => {
  const policy: ImageGCPolicy = { highThresholdPercent: 85, lowThresholdPercent: 80, minimumAgeMs: 100, maximumAgeMs: 0 }
  const image = (name: string, sizeBytes = 10): ImageSummary => ({
    id: `sha256:${name}`,
    names: [`r/${name}@sha256:${name}`, `r/${name}:1`],
    sizeBytes,
  })

  function machine(node: string, images: Map<string, ImageSummary>, more: Partial<ImageGCPolicy> = {}) {
    const events: string[] = []
    const world = { now: 1_000_000, used: new Set<string>(), available: 10, held: new Set<string>() }
    const recorder = {
      event: (_: unknown, type: string, reason: string, message: string) => void events.push(`${type} ${reason} ${message}`),
    }
    const log = logger('test')
    log.level = 'silent'
    const gc = imageGC({
      policy: { ...policy, ...more },
      images: {
        list: () => Promise.resolve([...images.values()]),
        remove: id => {
          const found = images.get(id)
          if (found && !world.held.has(id)) {
            images.delete(id)
            world.available += found.sizeBytes
          }
          return Promise.resolve()
        },
      },
      uses: imageUses(path.join(directory, 'uses'), node),
      inUse: () => world.used,
      disk: () => ({ capacity: 100, available: world.available }),
      recorder: recorder as unknown as EventRecorder,
      nodeName: node,
      log,
      now: () => world.now,
    })
    return { gc, world, events }
  }
  const three = () => new Map([image('a'), image('b'), image('c')].map(i => [i.id, i]))

  test('removes what nobody uses until there is enough, the longest unused first', async () => {
    const images = three()
    const { gc, world, events } = machine('n', images)
    world.used.add('sha256:a').add('r/b@sha256:b')
    await gc.collect().catch(() => {})
    // Unused but one: that is enough for now, for the low threshold wants 20.
    expect([...images.keys()]).toEqual(['sha256:a', 'sha256:b'])
    world.now += 1000
    world.used.delete('sha256:a')
    await gc.collect()
    expect([...images.keys()]).toEqual(['sha256:a', 'sha256:b'])
    world.available = 10
    await gc.collect()
    expect([...images.keys()]).toEqual(['sha256:b'])
    expect(events).toEqual([])
    world.available = 5
    await expect(gc.collect()).rejects.toThrow('Attempted to free 15 bytes, but only found 0 bytes eligible to free.')
    expect(events).toEqual([
      'Warning FreeDiskSpaceFailed Failed to garbage collect required amount of images. Attempted to free 15 bytes, but only found 0 bytes eligible to free.',
    ])
  })
  test('a new image, one that a container of another node has, and one that another node told of, stay', async () => {
    const images = three()
    const { gc, world } = machine('n', images)
    const other = machine('m', images)
    other.world.used.add('sha256:a')
    other.world.available = 100
    await other.gc.collect()
    world.held.add('sha256:b')
    world.available = 100
    await gc.collect()
    images.set('sha256:new', image('new'))
    world.available = 5
    expect(await gc.removeUnused()).toBe(10)
    expect([...images.keys()]).toEqual(['sha256:a', 'sha256:b', 'sha256:new'])
    world.now += 1000
    expect(await gc.removeUnused()).toBe(10)
    expect([...images.keys()]).toEqual(['sha256:a', 'sha256:b'])
  })
  test('removes what has been unused for long', async () => {
    const images = three()
    const { gc, world } = machine('n', images, { maximumAgeMs: 5000 })
    world.available = 100
    world.used.add('sha256:a')
    await gc.collect()
    expect(images.size).toBe(3)
    world.now += 6000
    await gc.collect()
    expect([...images.keys()]).toEqual(['sha256:a'])
  })
})

test('node.status.images: the largest first, names with digests first, no host images', () => {
  const images = [
    { id: 'sha256:1', names: ['a:1', 'a@sha256:1'], sizeBytes: 1 },
    { id: 'host-image://busybox@sha256:0', names: ['busybox'], sizeBytes: 0 },
    { id: 'sha256:2', names: Array.from({ length: 9 }, (_, i) => `b:${i}`), sizeBytes: 2 },
  ]
  expect(nodeImages(images, 50)).toEqual([
    { names: ['b:0', 'b:1', 'b:2', 'b:3', 'b:4'], sizeBytes: 2 },
    { names: ['a@sha256:1', 'a:1'], sizeBytes: 1 },
  ])
  expect(nodeImages(images, 1)).toHaveLength(1)
  expect(nodeImages(images, -1)).toHaveLength(2)
})

describe('credentials of the node', () => {
  const script = (name: string, text: string): void => {
    mkdirSync(path.join(directory, 'bin'), { recursive: true })
    writeFileSync(path.join(directory, 'bin', name), `#!/bin/sh\n${text}\n`)
    chmodSync(path.join(directory, 'bin', name), 0o755)
  }
  const config = (value: object): string[] => {
    writeFileSync(path.join(directory, 'config.json'), JSON.stringify(value))
    return [path.join(directory, 'nowhere', 'config.json'), path.join(directory, 'config.json')]
  }
  const path_ = process.env['PATH']
  afterEach(() => (process.env['PATH'] = path_))

  test("from Docker's configuration, with helpers", async () => {
    // Helpers are looked for after the system's own directories.
    process.env['PATH'] = `${directory}/bin:${path_}`
    script(
      'docker-credential-cox-test',
      'read -r host; [ "$host" = quay.io ] && echo \'{"Username":"u","Secret":"s"}\' || { echo credentials not found in native keychain; exit 1; }',
    )
    script('docker-credential-cox-token', 'echo \'{"Username":"<token>","Secret":"t"}\'')
    script('docker-credential-cox-broken', 'echo what; exit 3')
    const auth = Buffer.from('a:b').toString('base64')
    const files = config({
      auths: { 'quay.io': { auth }, 'hub.example': {} },
      credHelpers: { 'quay.io': 'cox-test', 'other.example': 'cox-test', 'broken.example': 'cox-broken', 'evil.example': '../x' },
      credsStore: 'cox-token',
    })
    const of = (image: string) => dockerConfigCredentials(parseReference(image), files)
    expect(await of('quay.io/a')).toEqual([
      { username: 'u', password: 's' },
      { username: 'a', password: 'b' },
    ])
    expect(await of('other.example/a')).toEqual([])
    expect(await of('hub.example/a')).toEqual([{ identityToken: 't' }])
    await expect(of('broken.example/a')).rejects.toThrow('docker-credential-cox-broken: what')
    await expect(of('evil.example/a')).rejects.toThrow('invalid credential helper')
    expect(await dockerConfigCredentials(parseReference('quay.io/a'), [])).toEqual([])
  })

  const user = (serviceAccountName: string | undefined, annotations?: { [key: string]: string }): ImageUser => ({
    pod: { metadata: { namespace: 'ns' }, spec: { serviceAccountName, containers: [] } } as unknown as Pod,
    sources: {
      serviceAccount: async () => annotations && { metadata: { name: serviceAccountName, uid: 'u', annotations } },
      token: async (audience: string, seconds: number) => `token for ${audience}, ${seconds}`,
    } as unknown as PodSources,
  })
  const nobody = user(undefined)

  test('from plugins that are given a token of the pod’s service account', async () => {
    const file = path.join(directory, 'providers.json')
    const version = 'credentialprovider.kubelet.k8s.io/v1'
    const attributes = {
      serviceAccountTokenAudience: 'registry',
      cacheType: 'ServiceAccount',
      requireServiceAccount: true,
      requiredServiceAccountAnnotationKeys: ['example.com/role'],
      optionalServiceAccountAnnotationKeys: ['example.com/more', 'example.com/none'],
    }
    const read = (tokenAttributes: object, apiVersion = version) => {
      const provider = { name: 'cloud', matchImages: ['r.example'], defaultCacheDuration: '1h', apiVersion, tokenAttributes }
      const kind = 'CredentialProviderConfig'
      writeFileSync(file, JSON.stringify({ apiVersion: 'kubelet.config.k8s.io/v1', kind, providers: [provider] }))
      return credentialProviders(file, path.join(directory, 'bin'))[0]!
    }
    const answer = { kind: 'CredentialProviderResponse', apiVersion: version, cacheKeyType: 'Registry' }
    const auth = { 'r.example': { username: 'u', password: 'p' } }
    script('cloud', `cat >>${directory}/asked; echo >>${directory}/asked; echo '${JSON.stringify({ ...answer, auth })}'`)
    const image = parseReference('r.example/a:1')
    const annotations = { 'example.com/role': 'r', 'example.com/more': 'm', 'example.com/other': 'o' }
    const asked = () =>
      readFileSync(path.join(directory, 'asked'), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as object)
    const cloud = read(attributes)
    // Without an account, one that is gone, one that has not asked for it.
    for (const who of [nobody, user('gone'), user('plain', {})]) expect(await cloud(image, who)).toEqual([])
    const credentials = { username: 'u', password: 'p' }
    const found = [{ credentials, source: { uid: 'u', namespace: 'ns', name: 'a' } }]
    for (let i = 0; i < 2; i++) expect(await cloud(image, user('a', annotations))).toEqual(found)
    const request = { kind: 'CredentialProviderRequest', apiVersion: version, image: 'r.example/a:1' }
    const serviceAccountAnnotations = { 'example.com/more': 'm', 'example.com/role': 'r' }
    const told = { ...request, serviceAccountToken: 'token for registry, 3600', serviceAccountAnnotations }
    expect(asked()).toEqual([told])
    // What one account was told is not for another.
    await cloud(image, user('b', annotations))
    expect(asked()).toEqual([told, told])
    // Where none is required a static pod asks as nobody.
    expect(await read({ ...attributes, requireServiceAccount: false })(image, nobody)).toEqual([{ credentials }])
    expect(asked().at(-1)).toEqual(request)
    expect(() => read({ ...attributes, cacheType: 'Pod' })).toThrow(/providers.0.tokenAttributes.cacheType/)
    expect(() => read(attributes, `${version}beta1`)).toThrow(/providers.0.tokenAttributes: is only supported for credentialprovider/)
  })

  test('from credential provider plugins', async () => {
    const file = path.join(directory, 'providers.yaml')
    const write = (text: string): void =>
      writeFileSync(file, `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n${text}`)
    write(`providers:
- {name: cloud, matchImages: ["*.cloud.example"], defaultCacheDuration: 1h, apiVersion: credentialprovider.kubelet.k8s.io/v1, args: [${directory}/asked], env: [{name: WHO, value: me}]}
- {name: bad, matchImages: [bad.example], defaultCacheDuration: 0s, apiVersion: credentialprovider.kubelet.k8s.io/v1}`)
    script(
      'cloud',
      `cat >>"$1"; echo >>"$1"; echo '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","auth":{"*.cloud.example":{"username":"'"$WHO"'","password":"p"},"other.example":{"username":"no","password":"no"}}}'`,
    )
    script('bad', 'echo "no such cloud" >&2; exit 1')
    const [cloud, bad] = credentialProviders(file, path.join(directory, 'bin'))
    for (const name of ['r.cloud.example/a:1', 'r.cloud.example/b:1', 'quay.io/a'])
      expect(await cloud!(parseReference(name), nobody)).toEqual(
        name.startsWith('quay') ? [] : [{ credentials: { username: 'me', password: 'p' } }],
      )
    // Once for the registry.
    expect(readdirSync(directory)).toContain('asked')
    await expect(bad!(parseReference('bad.example/a'), nobody)).rejects.toThrow(
      'error execing credential provider plugin bad for image bad.example/a:latest: no such cloud',
    )
    write('providers:\n- {name: ../x, matchImages: [a], defaultCacheDuration: 1h, apiVersion: credentialprovider.kubelet.k8s.io/v1}')
    expect(() => credentialProviders(file, directory)).toThrow(/providers.0.name: must be the name of a program$/)
  })
})
