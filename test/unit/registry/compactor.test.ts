import { afterEach, expect, test } from 'vitest'
import type { BusConnection } from '#shared/bus/connection.ts'
import { Compactor } from '#control-plane/apiserver/registry/compactor.ts'
import { silent } from '../../integration/registry/setup.ts'

const subject = (name: string): string => `registry.x.y.z.${name}`

/** A stream that is only asked to delete: remembers what, and fails for the sequences in `failing`. */
function start(settleMs: number) {
  const deleted: number[] = []
  const forgotten: string[] = []
  const failing = new Set<number>()
  let answer: (e: null, m: object) => void
  let changed: (connected: boolean) => void = () => {}
  const nats = {
    subscribe: (_inbox: string, { callback }: { callback: typeof answer }) => {
      answer = callback
      return { unsubscribe: () => {} }
    },
    publish: (_subject: string, body: string) => {
      const { seq } = JSON.parse(body) as { seq: number }
      if (!failing.has(seq)) deleted.push(seq)
      const said = failing.has(seq)
        ? { error: { err_code: 10008, description: 'JetStream system temporarily unavailable' } }
        : { error: { err_code: 10043, description: `sequence ${seq} not found` } }
      answer(null, { json: () => said })
    },
  }
  // Only what the compactor uses of a connection.
  const connection = { connected: true, identity: 'registry', nats, onChange: (f: typeof changed) => ((changed = f), () => {}) }
  const compactor = new Compactor(
    connection as unknown as BusConnection,
    silent,
    { windowMs: 1000, maxVersions: 1000, settleMs, erase: false, possible: () => true },
    name => forgotten.push(name),
  )
  closing.push(() => compactor.close())
  const take = (): number[] => deleted.splice(0).toSorted((a, b) => a - b)
  return { compactor, failing, forgotten, take, reconnect: () => changed(true) }
}
const closing: (() => void)[] = []
afterEach(() => closing.splice(0).forEach(close => close()))

test('a pass that the store interrupts is done again by the next one', async () => {
  const { compactor, failing, take } = start(5000)
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    compactor.saw(subject(name), i + 1, 0, 0, false, true)
    compactor.saw(subject(name), i + 4, 0, i + 1, false, true)
  }
  failing.add(2)
  await compactor.run(10_000)
  expect(take()).not.toContain(2)
  failing.clear()
  await compactor.run(10_000)
  expect(take()).toEqual([1, 2, 3])
  await compactor.run(10_000)
  expect(take()).toEqual([])
})

test('a tombstone goes when what it hides has been deleted for long enough', async () => {
  const { compactor, forgotten, take } = start(5000)
  compactor.saw(subject('a'), 1, 0, 0, false, true)
  compactor.saw(subject('a'), 2, 0, 1, true, true)
  compactor.saw(subject('found'), 3, 0, 0, true, true)
  await compactor.run(10_000)
  expect(take()).toEqual([1])
  await compactor.run(10_001)
  await compactor.run(14_999)
  expect(take()).toEqual([])
  await compactor.run(15_001)
  expect(take()).toEqual([2, 3])
  expect(forgotten).toEqual([subject('a'), subject('found')])
})

test('one that is created again keeps its newest version only', async () => {
  const { compactor, forgotten, take } = start(5000)
  compactor.saw(subject('a'), 1, 0, 0, true, true)
  await compactor.run(10_000)
  compactor.saw(subject('a'), 2, 0, 1, false, true)
  await compactor.run(20_000)
  expect(take()).toEqual([1])
  expect(forgotten).toEqual([])
})

test('what a crash of the server may bring back is deleted again before the tombstone that hides it goes', async () => {
  const { compactor, take, reconnect } = start(5000)
  const now = Date.now() + 60_000
  for (const [seq, before, buried] of [[1, 0, false], [2, 1, false], [3, 2, true]] as const) compactor.saw(subject('a'), seq, 0, before, buried, true) // prettier-ignore
  await compactor.run(now)
  expect(take()).toEqual([1, 2])
  // What was deleted before this process began is not known to it: then tombstones stay until the whole stream is read again.
  reconnect()
  await compactor.run(now + 100_000)
  expect(take()).toEqual([1, 2])
  await compactor.run(now + 200_000)
  await compactor.run(now + 300_000)
  expect(take()).toEqual([])
  compactor.reset()
  compactor.saw(subject('a'), 3, 0, 0, true, true)
  await compactor.run(now + 400_000)
  await compactor.run(now + 500_000)
  expect(take()).toEqual([3])
})
