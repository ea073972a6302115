/** Decrypts the stream's messages in place, before anything looks into them. */
import type { Encryption, Transformer } from '../encryption/transformer.ts'
import type { StreamMessage } from './follow.ts'
import { keyOf } from './stream.ts'

/** Never rejects: what cannot be read says why. One after the other, so that a key that has to be fetched is fetched once. */
export function decrypting(encryption: Encryption): (messages: readonly StreamMessage[]) => Promise<void> {
  const transformers = new Map<string, Transformer | undefined>()
  const transformerOf = (subject: string): Transformer | undefined => {
    // `registry.<group>.<resource>`
    const table = subject.slice(0, subject.indexOf('.', subject.indexOf('.', subject.indexOf('.') + 1) + 1))
    if (!transformers.has(table)) {
      const key = keyOf(subject)
      if (!key) return undefined
      transformers.set(table, encryption.transformerOf(key.group, key.plural))
    }
    return transformers.get(table)
  }
  return async messages => {
    for (const m of messages) {
      const transformer = m.data.length === 0 ? undefined : transformerOf(m.subject)
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
}
