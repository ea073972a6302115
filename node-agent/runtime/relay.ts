/** Feeding a program that passes what it reads on to a container. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/**
 * Sends `data` to the relay until it ends, and waits for the relay. Ends early, without an error, when the relay does; throws what the
 * relay says.
 */
export async function feed(relay: ChildProcess, data: AsyncIterable<Uint8Array>): Promise<void> {
  const [stdin, stderr] = [relay.stdin!, relay.stderr!]
  let words = ''
  stderr.setEncoding('utf8').on('data', (text: string) => (words += text))
  const ended = once(relay, 'close').catch(() => undefined)
  stdin.on('error', () => {})
  const iterator = data[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), ended.then(() => ({ done: true as const, value: undefined }))])
      if (next.done) break
      if (!stdin.write(next.value)) await Promise.race([once(stdin, 'drain'), ended])
    }
  } finally {
    stdin.end()
    void iterator.return?.()
    await ended
  }
  if (words !== '') throw new Error(`attach: ${words.trim()}`)
}
