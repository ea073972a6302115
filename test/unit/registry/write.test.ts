/** Writes over an object, answered by a leader of the store that does not know yet, or not any more, what was acknowledged. */
import { Empty, type Msg } from 'nats'
import { expect, it } from 'vitest'
import { WriteConflict, type Stored } from '#control-plane/apiserver/registry/registry.ts'
import { wrongLastSequence } from '#control-plane/apiserver/registry/stream.ts'
import { Writer, type WriterView } from '#control-plane/apiserver/registry/write.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { object } from '../../integration/registry/setup.ts'

const of = (version: number): Stored => ({ object: object('a', version), version }) as Stored
/** The leader's answers: to each publish in turn, and to what the newest message is. */
function writer(published: ((writeId: string) => object)[], newest: number) {
  let answered: (e: null, m: Msg) => void = () => {}
  const message = (subject: string, value: object): Msg => ({ subject, data: Empty, json: () => value }) as unknown as Msg
  const nats = {
    info: { max_payload: 1 << 20 },
    subscribe: (_: string, { callback }: { callback: typeof answered }) => ((answered = callback), { unsubscribe: () => {} }),
    request: () => Promise.resolve(message('', { message: { seq: newest, data: 'x' } })),
  }
  const publish: BusConnection['publish'] = (_, __, options) =>
    queueMicrotask(() => {
      const writeId = options!.headers!.get('Cox-Write')
      answered(null, message(options!.reply!, published.shift()!(writeId)))
    })
  const connection = { identity: 'registry', nats, publish, onChange: () => () => {}, elsewhere: () => {} }
  return new Writer(connection as unknown as BusConnection, 5_000)
}
const refused = () => ({ error: { code: 400, err_code: wrongLastSequence, description: 'wrong last sequence: 7' } })
const view = (versions: number[]): WriterView => ({
  current: () => (versions[0] ? of(versions[0]) : undefined),
  tombstone: () => 0,
  fresh: async () => void (versions.length > 1 && versions.shift()),
})

it('is written when the version is still the newest, though a leader knew only an older one', async () => {
  const w = writer([refused, id => (w.applied(id, of(9)), {})], 7)
  try {
    await expect(w.write('s', Buffer.from('x'), object('a'), 8, view([8, 8]))).resolves.toEqual(of(9))
  } finally {
    w.close()
  }
})

it('is refused when a newer one is there, or none', async () => {
  for (const now of [9, 0]) {
    const w = writer([refused], 9)
    try {
      await expect(w.write('s', Buffer.from('x'), object('a'), 8, view([8, now]))).rejects.toThrow(WriteConflict)
    } finally {
      w.close()
    }
  }
})
