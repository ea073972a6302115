import { createSecretKey, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { aesCbc, aesGcm, extendedNonceGcm, secretBox } from '#control-plane/apiserver/encryption/ciphers.ts'
import { encryptionConfiguration } from '#control-plane/apiserver/encryption/configuration.ts'
import { newEncryption } from '#control-plane/apiserver/encryption/transformer.ts'
import { parseConfig } from '#shared/component/configfile.ts'
import { logger } from '#shared/component/log.ts'

const quiet = logger('test')
quiet.level = 'silent'
const key = (bytes = 32): string => createSecretKey(randomBytes(bytes)).export().toString('base64')
const config = (resources: object[]): string =>
  JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources })
const encryption = (resources: object[]) => newEncryption(parseConfig(config(resources), encryptionConfiguration), quiet)
const text = Buffer.from('{"kind":"Secret"}')

describe('ciphers', () => {
  const place = Buffer.from('registry.x')
  test.each([
    ['aesgcm', aesGcm(randomBytes(32)), true, true],
    ['aesgcm, 16 bytes', aesGcm(randomBytes(16)), true, true],
    ['aescbc', aesCbc(randomBytes(24)), false, false],
    ['secretbox', secretBox(randomBytes(32)), true, false],
    ['KMS seed', extendedNonceGcm(randomBytes(32)), true, true],
  ])('%s', (_, cipher, authenticates, knowsPlaces) => {
    for (const plain of [Buffer.alloc(0), text, randomBytes(100_000)]) {
      const stored = cipher.encrypt(plain, place)
      expect(stored.includes(plain)).toBe(plain.length === 0)
      expect(cipher.encrypt(plain, place)).not.toEqual(stored)
      expect(cipher.decrypt(stored, place)).toEqual(plain)
      const elsewhere = () => cipher.decrypt(stored, Buffer.from('registry.y'))
      if (knowsPlaces) expect(elsewhere).toThrow()
      else expect(elsewhere()).toEqual(plain)
      if (authenticates) {
        stored[stored.length - 1]! ^= 1
        expect(() => cipher.decrypt(stored, place)).toThrow()
      }
      expect(() => cipher.decrypt(stored.subarray(0, 10), place)).toThrow('shorter than the required size')
    }
  })

  test("what Go's secretbox and GCM made is read", () => {
    // NaCl's own test vector (tests/secretbox.c): nonce, then box.
    const boxKey = Buffer.from('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389', 'hex')
    const nonce = Buffer.from('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37', 'hex')
    const box = Buffer.from(
      'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5',
      'hex',
    )
    const message = Buffer.from(
      'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
      'hex',
    )
    expect(secretBox(boxKey).decrypt(Buffer.concat([nonce, box]), Buffer.alloc(0))).toEqual(message)
    // The GCM specification's test case 16: AES-256 with associated data.
    const gcmKey = Buffer.from('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308', 'hex')
    const stored = Buffer.from(
      'cafebabefacedbaddecaf888522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b',
      'hex',
    )
    const plain = 'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39'
    expect(aesGcm(gcmKey).decrypt(stored, Buffer.from('feedfacedeadbeeffeedfacedeadbeefabaddad2', 'hex')).toString('hex')).toBe(plain)
  })
})

describe('an encryption configuration', () => {
  test('the first provider writes, all read, and what the others wrote is stale', async () => {
    const keys = [
      { name: 'a', secret: key() },
      { name: 'b', secret: key() },
    ]
    const of = async (providers: object[]) => (await encryption([{ resources: ['secrets'], providers }])).transformerOf('', 'secrets')!
    const before = await of([{ aescbc: { keys: [keys[0]] } }, { identity: {} }])
    const stored = before.encrypt(text, 's.x')
    expect(stored.toString('latin1')).toMatch(/^k8s:enc:aescbc:v1:a:/)
    expect(await before.decrypt(stored, 's.x')).toEqual({ data: text, stale: false })
    expect(await before.decrypt(text, 's.x')).toEqual({ data: text, stale: true })
    const after = await of([{ aescbc: { keys: keys.toReversed() } }])
    expect(after.encrypt(text, 's.x').toString('latin1')).toMatch(/^k8s:enc:aescbc:v1:b:/)
    expect(await after.decrypt(stored, 's.x')).toEqual({ data: text, stale: true })
    expect(() => after.decrypt(text, 's.x')).toThrow('no matching prefix found')
    const plain = await of([{ identity: {} }])
    expect(plain.encrypt(text, 's.x')).toEqual(text)
    expect(() => plain.decrypt(stored, 's.x')).toThrow('identity transformer tried to read encrypted data')
  })

  test('the narrowest rule decides', async () => {
    const rule = (resources: string[], name: string) => ({ resources, providers: [{ secretbox: { keys: [{ name, secret: key() }] } }] })
    const { transformerOf } = await encryption([
      rule(['secrets', 'deployments.apps'], 'one'),
      rule(['*.apps'], 'apps'),
      rule(['*.*'], 'rest'),
    ])
    const by = (group: string, resource: string): string =>
      /v1:(\w+):/.exec(transformerOf(group, resource)!.encrypt(text, '').toString('latin1'))![1]!
    expect([by('', 'secrets'), by('apps', 'deployments'), by('apps', 'replicasets'), by('', 'configmaps'), by('x.io', 'y')]).toEqual([
      'one',
      'one',
      'apps',
      'rest',
      'rest',
    ])
    expect((await encryption([rule(['*.'], 'core')])).transformerOf('apps', 'deployments')).toBeUndefined()
  })

  const aesgcm = { aesgcm: { keys: [{ name: 'a', secret: key() }] } }
  const kms = { apiVersion: 'v2', name: 'k', endpoint: 'unix:///k.sock' }
  const one = (provider: object) => [{ resources: ['secrets'], providers: [provider] }]
  test.each<[object[], string]>([
    [[], 'resources: Required value'],
    [[{ resources: [], providers: [aesgcm] }], 'resources[0].resources: Required value'],
    [[{ resources: ['secrets'], providers: [] }], 'resources[0].providers: Required value'],
    [one({}), 'does not contain any of the expected providers'],
    [one({ identity: {}, ...aesgcm }), 'more than one provider specified in a single element'],
    [one({ aesgcm: { keys: [] } }), 'resources[0].providers[0].aesgcm.keys: Required value'],
    [one({ aesgcm: { keys: [{ name: 'a', secret: key(10) }] } }), 'got 10, expected one of [16 24 32]'],
    [one({ secretbox: { keys: [{ name: 'a', secret: key(16) }] } }), 'got 16, expected one of [32]'],
    [
      one({ aescbc: { keys: [{ name: '', secret: 'no!' }] } }),
      'name is a mandatory field for a key, resources[0].providers[0].aescbc.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
    ],
    [[{ resources: ['*'], providers: [aesgcm] }], "use '*.' to encrypt all the resources from core API group"],
    [[{ resources: ['Secrets'], providers: [aesgcm] }], 'should not contain capital letters'],
    [[{ resources: ['*.', 'secrets'], providers: [aesgcm] }], 'using overlapping resources'],
    [[{ resources: ['secrets', 'secrets'], providers: [aesgcm] }], 'cannot be specified multiple times'],
    [[{ resources: ['events.events.k8s.io'], providers: [aesgcm] }], "Use 'events' instead"],
    [
      [...one(aesgcm), { resources: ['*.*'], providers: [aesgcm] }, { resources: ['pods'], providers: [aesgcm] }],
      'is masked by earlier rule "*.*"',
    ],
    [one({ kms: { ...kms, apiVersion: 'v1' } }), 'KMSv1 is deprecated'],
    [one({ kms: { ...kms, endpoint: 'tcp://x' } }), 'unsupported scheme "tcp" for KMS provider, only unix is supported'],
    [one({ kms: { ...kms, name: 'a:b' } }), "must not contain ':'"],
    [one({ kms: { ...kms, timeout: '0s' } }), 'timeout should be a positive value'],
    [[{ resources: ['secrets'], providers: [{ kms }, { kms }] }], 'duplicate KMS provider name k, names must be unique'],
  ])('%j is refused', (resources, message) => expect(() => parseConfig(config(resources), encryptionConfiguration)).toThrow(message))

  test('no message shows a key', () => {
    const secret = key(20)
    const wrong = config(one({ aesgcm: { keys: [{ name: 'a', secret }] }, aescbc: { keys: [{ name: 'a', secret }] } }))
    const message = (): string => {
      try {
        parseConfig(wrong, encryptionConfiguration)
        return ''
      } catch (e) {
        return (e as Error).message
      }
    }
    expect(message()).toContain('more than one provider')
    expect(message()).not.toContain(secret)
  })
})
