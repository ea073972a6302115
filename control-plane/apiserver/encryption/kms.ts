/**
 * KMS v2: a plugin behind a unix socket holds the key that encrypts ours. A seed is made at the start and whenever the plugin has a new
 * key; the plugin encrypts it once, and each write has a key of its own from it.
 * https://kubernetes.io/docs/tasks/administer-cluster/kms-provider/
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { Client, Metadata, credentials } from '@grpc/grpc-js'
import type { Logger } from '#shared/component/log.ts'
import { isDNS1123Subdomain } from '#shared/machinery/names.ts'
import { decodeMessage } from '#shared/machinery/protobuf.ts'
import { encodeMessage } from '#shared/machinery/protobuf-encode.ts'
import { bytes, int32, map, obj, opt, str, type Infer, type ObjectSchema } from '#shared/machinery/schema.ts'
import { internalError } from '#shared/machinery/status.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { aesGcm, extendedNonceGcm, type Cipher } from './ciphers.ts'
import type { KmsConfiguration } from './configuration.ts'
import type { Provider } from './transformer.ts'

// k8s.io/kms/apis/v2/api.proto
const statusRequest = obj('v2.StatusRequest', '', () => ({}))
const statusResponse = obj('v2.StatusResponse', '', () => ({ version: opt(1, str()), healthz: opt(2, str()), keyId: opt(3, str()) }))
const decryptRequest = obj('v2.DecryptRequest', '', () => ({
  ciphertext: opt(1, bytes()),
  uid: opt(2, str()),
  keyId: opt(3, str()),
  annotations: opt(4, map(bytes())),
}))
const decryptResponse = obj('v2.DecryptResponse', '', () => ({ plaintext: opt(1, bytes()) }))
const encryptRequest = obj('v2.EncryptRequest', '', () => ({ plaintext: opt(1, bytes()), uid: opt(2, str()) }))
const encryptResponse = obj('v2.EncryptResponse', '', () => ({
  ciphertext: opt(1, bytes()),
  keyId: opt(2, str()),
  annotations: opt(3, map(bytes())),
}))
/** What is stored: k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2/api.proto. */
const encryptedObject = obj('v2.EncryptedObject', '', () => ({
  encryptedData: opt(1, bytes()),
  keyID: opt(2, str()),
  encryptedDEKSource: opt(3, bytes()),
  annotations: opt(4, map(bytes())),
  encryptedDEKSourceType: opt(5, int32()),
}))
type EncryptedObject = Infer<typeof encryptedObject>

/** The plugin is asked for its key once a minute, when that failed every ten seconds; what it said holds for three minutes. */
const pollMs = 60_000
const retryMs = 10_000
const validMs = 180_000
/** A call that failed makes the plugin unhealthy; it is asked again so soon. */
const unhealthyMs = 3_000
const refusedMs = 1_000
const maxKeyId = 1024
const maxSource = 1024
const maxAnnotations = 32 * 1024
/** Seeds that stay decrypted. */
const maxSeeds = 1000
const seedBytes = 32
const seedType = 1

/** What new objects are written with. */
interface Present {
  readonly cipher: Cipher
  readonly stored: Omit<EncryptedObject, 'encryptedData'>
  /** By performance.now(). */
  until: number
}

export interface KmsProvider extends Provider {
  /** What is wrong with the plugin. */
  readonly problem: string | undefined
  close(): void
}

/** Asks the plugin for the first time; when it does not answer it is asked again and again. */
export async function openKms(config: KmsConfiguration, log: Logger): Promise<KmsProvider> {
  const provider = new Kms(config, log)
  await provider.poll()
  return provider
}

class Kms implements KmsProvider {
  readonly prefix: Buffer
  readonly #name: string
  readonly #log: Logger
  readonly #timeoutMs: number
  readonly #client: Client
  readonly #seeds = new Map<string, Cipher>()
  /** What was asked for last in vain. */
  #refused: { source: string; error: Error; until: number } | undefined
  #present: Present | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  problem: string | undefined = 'the plugin was not asked yet'

  constructor({ name, endpoint, timeout }: KmsConfiguration, log: Logger) {
    this.prefix = Buffer.from(`k8s:enc:kms:v2:${name}:`)
    this.#name = name
    this.#log = log
    this.#timeoutMs = parseDuration(timeout ?? '3s')!
    // `unix:///@name` is an abstract socket.
    const path = endpoint.replace(/^unix:(\/\/)?/, '')
    const target = path.startsWith('/@') ? `unix-abstract:${path.slice(2)}` : `unix:${path}`
    // A plugin that comes back is found within a second.
    this.#client = new Client(target, credentials.createInsecure(), { 'grpc.max_reconnect_backoff_ms': 1000 })
  }

  #call<Q extends ObjectSchema, A extends ObjectSchema>(method: string, question: Q, answer: A, value: Infer<Q>): Promise<Infer<A>> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/v2.KeyManagementService/${method}`,
        (q: Infer<Q>) => encodeMessage(question, q as object),
        (a: Buffer) => decodeMessage(answer, a) as Infer<A>,
        value,
        new Metadata({ waitForReady: false }),
        { deadline: Date.now() + this.#timeoutMs },
        (error, result) => (error ? reject(error) : resolve(result!)),
      )
    })
  }

  /** Asks for the plugin's health and key. Never rejects. */
  async poll(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      const { version, healthz, keyId = '' } = await this.#call('Status', statusRequest, statusResponse, {})
      if (healthz !== 'ok') throw new Error(`got unexpected healthz status: ${healthz ?? ''}`)
      if (version !== 'v2' && version !== 'v2beta1') throw new Error(`expected KMSv2 API version v2, got ${version ?? ''}`)
      checkKeyId(keyId)
      if (this.#present?.stored.keyID === keyId) this.#present.until = performance.now() + validMs
      else await this.#renew(keyId)
      if (this.problem !== undefined && this.problem !== '') this.#log.info({ kms: this.#name }, 'the KMS plugin is healthy')
      this.problem = undefined
    } catch (e) {
      this.#failed(e as Error)
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.poll(), this.problem === undefined ? pollMs : retryMs).unref()
  }

  #failed(e: Error): void {
    if (this.#closed) return
    const problem = `kmsv2 Provider ${this.#name} is not healthy, error: ${e.message}`
    if (this.problem !== problem) this.#log.warn({ kms: this.#name, error: e.message }, 'the KMS plugin is not healthy')
    this.problem = problem
  }

  async #renew(keyId: string): Promise<void> {
    const seed = randomBytes(seedBytes)
    const answer = await this.#call('Encrypt', encryptRequest, encryptResponse, { plaintext: seed.toString('base64'), uid: randomUUID() })
    const stored = {
      keyID: answer.keyId ?? '',
      encryptedDEKSource: answer.ciphertext ?? '',
      ...(answer.annotations ? { annotations: answer.annotations } : {}),
      encryptedDEKSourceType: seedType,
    }
    checkSource(stored)
    if (stored.keyID !== keyId) this.#log.info({ kms: this.#name }, 'the KMS plugin has changed its key meanwhile')
    const cipher = extendedNonceGcm(seed)
    this.#remember(sourceOf(stored), cipher)
    this.#present = { cipher, stored, until: performance.now() + validMs }
  }

  current(stored: Buffer): boolean {
    const { keyID, encryptedDEKSourceType } = decodeMessage(encryptedObject, stored) as EncryptedObject
    return keyID === this.#present?.stored.keyID && encryptedDEKSourceType === seedType
  }

  encrypt(plain: Buffer, place: Buffer): Buffer {
    const present = this.#present
    if (!present) throw internalError(`encryptedDEKSource is not available: ${this.problem ?? ''}`)
    if (performance.now() > present.until)
      throw internalError(`encryptedDEKSource of the KMS provider ${this.#name} expired: ${this.problem ?? ''}`)
    const encryptedData = present.cipher.encrypt(plain, place).toString('base64')
    return encodeMessage(encryptedObject, { encryptedData, ...present.stored })
  }

  decrypt(data: Buffer, place: Buffer): Buffer | Promise<Buffer> {
    const stored = decodeMessage(encryptedObject, data) as EncryptedObject
    checkSource(stored)
    const body = Buffer.from(stored.encryptedData ?? '', 'base64')
    const known = this.#seeds.get(sourceOf(stored))
    return known ? known.decrypt(body, place) : this.#fetch(stored).then(cipher => cipher.decrypt(body, place))
  }

  /** Has the plugin decrypt a seed, or an older server's key. */
  async #fetch(stored: EncryptedObject): Promise<Cipher> {
    const source = sourceOf(stored)
    // A thousand objects of one seed do not wait for a dead plugin one after the other.
    if (this.#refused?.source === source && performance.now() < this.#refused.until) throw this.#refused.error
    const { encryptedDEKSource: ciphertext, keyID: keyId, annotations, encryptedDEKSourceType } = stored
    try {
      const { plaintext = '' } = await this.#call('Decrypt', decryptRequest, decryptResponse, {
        ciphertext,
        uid: randomUUID(),
        keyId,
        ...(annotations ? { annotations } : {}),
      })
      const key = Buffer.from(plaintext, 'base64')
      if (key.length < seedBytes) throw new Error(`invalid seed length ${key.length} used for key generation`)
      const cipher = encryptedDEKSourceType === seedType ? extendedNonceGcm(key) : aesGcm(key)
      this.#remember(source, cipher)
      return cipher
    } catch (e) {
      const error = new Error(`failed to decrypt DEK, error: ${(e as Error).message}`)
      this.#refused = { source, error, until: performance.now() + refusedMs }
      this.#failed(e as Error)
      clearTimeout(this.#timer)
      if (!this.#closed) this.#timer = setTimeout(() => void this.poll(), unhealthyMs).unref()
      throw error
    }
  }

  #remember(source: string, cipher: Cipher): void {
    this.#seeds.set(source, cipher)
    for (const oldest of this.#seeds.keys()) {
      if (this.#seeds.size <= maxSeeds) break
      this.#seeds.delete(oldest)
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#client.close()
  }
}

/** What a decrypted seed is known by. */
const sourceOf = ({ encryptedDEKSourceType, encryptedDEKSource, keyID, annotations }: Partial<EncryptedObject>): string =>
  JSON.stringify([encryptedDEKSourceType ?? 0, encryptedDEKSource, keyID, Object.entries(annotations ?? {}).sort()])

function checkKeyId(keyId: string): void {
  if (keyId === '') throw new Error('expected KMSv2 KeyID to be set, got ')
  if (keyId.length > maxKeyId) throw new Error(`keyID is ${keyId.length} bytes, which exceeds the max size of ${maxKeyId}`)
}

function checkSource({ keyID = '', encryptedDEKSource = '', annotations = {} }: Partial<EncryptedObject>): void {
  checkKeyId(keyID)
  const size = Buffer.byteLength(encryptedDEKSource, 'base64')
  if (size === 0) throw new Error('failed to validate encrypted DEK source: encrypted DEK source is empty')
  if (size > maxSource)
    throw new Error(
      `failed to validate encrypted DEK source: encrypted DEK source is ${size} bytes, which exceeds the max size of ${maxSource}`,
    )
  let total = 0
  for (const [key, value] of Object.entries(annotations)) {
    total += key.length + Buffer.byteLength(value, 'base64')
    if (isDNS1123Subdomain(key).length > 0 || !key.includes('.'))
      throw new Error(`failed to validate annotations: annotations: Invalid value: ${JSON.stringify(key)}`)
  }
  if (total > maxAnnotations)
    throw new Error(
      `failed to validate annotations: total size of annotations is ${total}, which exceeds the max size of ${maxAnnotations}`,
    )
}
