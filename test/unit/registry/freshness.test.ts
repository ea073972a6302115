import { expect, test } from 'vitest'
import { Newest } from '#control-plane/apiserver/registry/freshness.ts'
import type { BusConnection } from '#shared/bus/connection.ts'

/** A store that answers questions when the test says so. */
function store() {
  const questions: ((seq: number) => void)[] = []
  let receive: (e: null, m: unknown) => void = () => {}
  const nats = {
    subscribe: (_: string, { callback }: { callback: typeof receive }) => (receive = callback),
    publish: (_subject: string, _data: string, { reply }: { reply: string }) =>
      questions.push(seq => receive(null, { subject: reply, string: () => `{"config":{},"state":{"first_seq":1,"last_seq":${seq}}}` })),
    isClosed: () => false,
  }
  const newest = new Newest({ nats, identity: 'a' } as unknown as BusConnection, 1, 1000)
  const asked = async (count: number) => {
    while (questions.length < count) await new Promise(resolve => setTimeout(resolve, 1))
    await new Promise(resolve => setTimeout(resolve, 5))
    expect(questions.length).toBe(count)
  }
  return { newest, asked, answer: (i: number, seq: number) => questions[i]!(seq) }
}

test('readers of one turn share a question; who comes while it is under way waits for the next', async () => {
  const { newest, asked, answer } = store()
  const first = [newest.sequence(), newest.sequence()]
  await asked(1)
  const late = [newest.sequence(), newest.sequence(), newest.sequence()]
  await asked(1)
  answer(0, 5)
  expect(await Promise.all(first)).toEqual([5, 5])
  await asked(2)
  answer(1, 7)
  expect(await Promise.all(late)).toEqual([7, 7, 7])
})

test('one reader is not kept waiting for the many who read before', async () => {
  const { newest, asked, answer } = store()
  const many = Array.from({ length: 50 }, () => newest.sequence())
  await asked(1)
  answer(0, 1)
  expect(new Set(await Promise.all(many))).toEqual(new Set([1]))
  const one = newest.sequence()
  await asked(2)
  answer(1, 2)
  expect(await one).toBe(2)
})
