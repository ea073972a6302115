/** Objects that are stored encrypted: the stream's messages are decrypted in place, before anything looks into them. */
import type { Logger } from '#shared/component/log.ts'
import type { Encryption, Transformer } from '../encryption/transformer.ts'
import type { StreamMessage } from './follow.ts'
import type { Table } from './registry.ts'
import { keyOf, subjectOf } from './stream.ts'

export interface EncryptedView {
  /** One of the objects that could not be read. */
  unreadable(): StreamMessage | undefined
  /** Whether everything is being read anew already. */
  loading(): boolean
  /** Reads everything anew. */
  load(): Promise<void>
}

export class EncryptedObjects {
  readonly #encryption: Encryption
  readonly #view: EncryptedView
  readonly #log: Logger
  /** By `registry.<group>.<resource>`. */
  readonly #transformers = new Map<string, Transformer | undefined>()
  #readingAgain = false
  #changed = false

  constructor(encryption: Encryption, view: EncryptedView, log: Logger) {
    this.#encryption = encryption
    this.#view = view
    this.#log = log
    encryption.onChange?.(() => {
      this.#transformers.clear()
      this.#changed = true
      void this.readAgain()
    })
  }

  /** What is stored of an object. Throws when it cannot be encrypted now. */
  encrypt(table: Table, namespace: string, name: string, json: Uint8Array): Uint8Array {
    const transformer = this.#encryption.transformerOf(table.group, table.plural)
    return transformer ? transformer.encrypt(Buffer.from(json), subjectOf(table, namespace, name)) : json
  }

  /** Never rejects: what cannot be read says why. One after the other, so that a key that has to be fetched is fetched once. */
  readonly decrypt = async (messages: readonly StreamMessage[]): Promise<void> => {
    for (const m of messages) {
      const transformer = m.data.length === 0 ? undefined : this.#transformerOf(m.subject)
      if (!transformer) continue
      try {
        const read = transformer.decrypt(Buffer.from(m.data.buffer, m.data.byteOffset, m.data.byteLength), m.subject)
        const { data, stale } = read instanceof Promise ? await read : read
        m.data = data
        m.stale = stale
      } catch (e) {
        m.unreadable = (e as Error).message
      }
    }
  }

  #transformerOf(subject: string): Transformer | undefined {
    const table = subject.slice(0, subject.indexOf('.', subject.indexOf('.', subject.indexOf('.') + 1) + 1))
    if (!this.#transformers.has(table)) {
      const key = keyOf(subject)
      if (!key) return undefined
      this.#transformers.set(table, this.#encryption.transformerOf(key.group, key.plural))
    }
    return this.#transformers.get(table)
  }

  /**
   * Who holds a key may be back: when one of the objects that cannot be read now can, all are read again. So they are when the
   * configuration has changed: what is stored otherwise than it would be now is another set of objects.
   */
  async readAgain(): Promise<void> {
    if (this.#readingAgain || this.#view.loading()) return
    this.#readingAgain = true
    try {
      if (!this.#changed && !(await this.#canBeRead())) return
      if (this.#view.loading()) return
      this.#log.info('objects are stored otherwise, or can be decrypted now: the watch cache is loaded anew')
      this.#changed = false
      await this.#view.load()
    } catch (e) {
      this.#log.error({ error: (e as Error).message }, 'the watch cache could not be loaded anew')
    } finally {
      this.#readingAgain = false
    }
  }

  async #canBeRead(): Promise<boolean> {
    const first = this.#view.unreadable()
    if (!first) return false
    const copy = { ...first }
    delete copy.unreadable
    await this.decrypt([copy])
    return copy.unreadable === undefined
  }
}
