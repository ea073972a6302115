/** From the configuration to what is done with the bytes of each resource on their way to the store and back. */
import type { HealthCheck } from '#shared/component/health.ts'
import type { Logger } from '#shared/component/log.ts'
import { aesCbc, aesGcm, secretBox, type Cipher } from './ciphers.ts'
import { parseGroupResource, type EncryptionConfiguration, type ProviderConfiguration } from './configuration.ts'
import type { KmsProvider } from './kms.ts'

/** One way to write bytes. What it wrote begins with its prefix. */
export interface Provider {
  readonly prefix: Buffer
  /** Tells what was written with the present key of this provider from what was not. */
  readonly current: (stored: Buffer) => boolean
  /** Throws when it cannot write now. */
  encrypt(plain: Buffer, place: Buffer): Buffer
  /** Without the prefix. Gives a promise when somebody else has to be asked for the key. */
  decrypt(stored: Buffer, place: Buffer): Buffer | Promise<Buffer>
}

/** What was read, and whether it would be written as it is. */
export interface Plain {
  readonly data: Buffer
  readonly stale: boolean
}

/** The providers of one resource. */
export interface Transformer {
  encrypt(plain: Buffer, place: string): Buffer
  /** Throws, or rejects, with the reason why the bytes cannot be read. */
  decrypt(stored: Buffer, place: string): Plain | Promise<Plain>
}

export interface Encryption {
  /** Undefined for resources that nothing is said about: they are stored as they are. */
  transformerOf(group: string, resource: string): Transformer | undefined
  readonly checks: readonly HealthCheck[]
  /** Calls `listener` when `transformerOf` says something else than before; absent when that never happens. */
  readonly onChange?: (listener: () => void) => void
  close(): void
}

const encrypted = Buffer.from('k8s:enc:')
export const isEncrypted = (stored: Buffer): boolean => stored.subarray(0, encrypted.length).equals(encrypted)

export async function newEncryption(config: EncryptionConfiguration, log: Logger): Promise<Encryption> {
  const kms: KmsProvider[] = []
  const make = async (provider: ProviderConfiguration): Promise<Provider[]> => {
    if (!provider.kms) return localProviders(provider)
    // Most servers need no gRPC: it is in a bundle of its own.
    const bundle = import.meta.url.endsWith('.ts') ? './kms.ts' : './kms.js'
    const { openKms } = (await import(bundle)) as typeof import('./kms.ts')
    const opened = await openKms(provider.kms, log)
    kms.push(opened)
    return [opened]
  }
  const rules = new Map<string, Provider[]>()
  for (const { resources, providers } of config.resources) {
    const made: Provider[] = []
    for (const provider of providers) made.push(...(await make(provider)))
    for (const text of resources) {
      const { group, resource } = parseGroupResource(text)
      const key = `${resource}.${group}`
      rules.set(key, [...(rules.get(key) ?? []), ...made])
    }
  }
  const transformers = new Map([...rules].map(([key, providers]) => [key, newTransformer(providers)]))
  return {
    transformerOf: (group, resource) =>
      transformers.get(`${resource}.${group}`) ?? transformers.get(`*.${group}`) ?? transformers.get('*.*'),
    checks: kms.map((provider, i) => ({ name: `kms-provider-${i}`, check: () => provider.problem })),
    close() {
      for (const provider of kms) provider.close()
    },
  }
}

const identity: Provider = {
  prefix: Buffer.alloc(0),
  current: () => true,
  encrypt: plain => plain,
  decrypt: stored => {
    if (isEncrypted(stored)) throw new Error('identity transformer tried to read encrypted data')
    return stored
  },
}

const ciphers = { aesgcm: aesGcm, aescbc: aesCbc, secretbox: secretBox } as const

/** One for each key: the first writes. */
function localProviders(provider: ProviderConfiguration): Provider[] {
  for (const kind of ['aesgcm', 'aescbc', 'secretbox'] as const) {
    const keys = provider[kind]?.keys
    if (!keys) continue
    return keys.map(({ name, secret }): Provider => {
      const cipher: Cipher = ciphers[kind](Buffer.from(secret, 'base64'))
      return { prefix: Buffer.from(`k8s:enc:${kind}:v1:${name}:`), current: () => true, ...cipher }
    })
  }
  return [identity]
}

function newTransformer(providers: readonly Provider[]): Transformer {
  const writer = providers[0]!
  const plainOf = (provider: Provider, stored: Buffer, data: Buffer): Plain => ({
    data,
    stale: provider !== writer || !provider.current(stored),
  })
  return {
    encrypt(plain, place) {
      const body = writer.encrypt(plain, Buffer.from(place))
      return writer.prefix.length === 0 ? body : Buffer.concat([writer.prefix, body])
    },
    decrypt(stored, place) {
      let failure: Error | undefined
      // Two keys of one name have one prefix: each is tried.
      for (const provider of providers) {
        if (!stored.subarray(0, provider.prefix.length).equals(provider.prefix)) continue
        const rest = stored.subarray(provider.prefix.length)
        try {
          const data = provider.decrypt(rest, Buffer.from(place))
          return data instanceof Promise ? data.then(d => plainOf(provider, rest, d)) : plainOf(provider, rest, data)
        } catch (e) {
          // What no identity provider reads has a prefix that says whose it is.
          if (provider !== identity || !failure) failure = e as Error
        }
      }
      throw failure ?? new Error('no matching prefix found')
    },
  }
}
