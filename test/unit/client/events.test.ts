import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { Event } from '#shared/api/core/event.ts'
import type { Client } from '#shared/client/client.ts'
import { correlator } from '#shared/client/correlator.ts'
import { eventRecorder, newEvent } from '#shared/client/events.ts'

const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'ns', uid: 'u' } }
const event = (message: string, reason = 'Failed') => newEvent(pod, 'Warning', reason, message, 'kubelet', 'n1', 0)

test('the same event again is counted', () => {
  const c = correlator()
  const first = c.next(event('x'), 0)!
  expect(first).toMatchObject({ update: false, event: { count: 1 } })
  c.written(first.key, { ...first.event, metadata: { ...first.event.metadata, name: 'web.1' } })
  const second = c.next(event('x'), 1)!
  expect(second).toMatchObject({ update: true, event: { count: 2, metadata: { name: 'web.1' } } })
})

test('many different messages of one reason are gathered', () => {
  const c = correlator()
  let last
  for (let i = 0; i < 12; i++) {
    last = c.next(event(`message ${i}`), i)!
    c.written(last.key, last.event)
  }
  expect(last!.event.message).toBe('(combined from similar events): message 11')
  expect(last).toMatchObject({ update: true, event: { count: 3 } })
})

test('more than 25 events of one object are dropped until tokens come back', () => {
  const c = correlator()
  const passed = Array.from({ length: 40 }, (_, i) => c.next(event('x', `R${i}`), 0)).filter(Boolean)
  expect(passed).toHaveLength(25)
  expect(c.next(event('x', 'later'), 299_999)).toBeUndefined()
  expect(c.next(event('x', 'later'), 301_000)).toBeDefined()
})

test('an event is about its object, in its namespace or the default one', () => {
  expect(newEvent(pod, 'Normal', 'Pulled', 'm', 'kubelet', 'n1', 0, 'spec.containers{web}')).toMatchObject({
    metadata: { namespace: 'ns' },
    involvedObject: { kind: 'Pod', namespace: 'ns', name: 'web', uid: 'u', apiVersion: 'v1', fieldPath: 'spec.containers{web}' },
    source: { component: 'kubelet', host: 'n1' },
    firstTimestamp: '1970-01-01T00:00:00Z',
    type: 'Normal',
    count: 1,
  })
  expect(newEvent({ kind: 'Node', metadata: { name: 'n1' } }, 'Normal', 'r', 'm', 'c', '', 0).metadata.namespace).toBe('default')
})

/** A recorder whose API takes what it gets when it is told to. */
function recorder() {
  const asked: { event: Event; answer: () => void }[] = []
  const take = (event: Event): Promise<Event> => new Promise(resolve => asked.push({ event, answer: () => resolve(event) }))
  const client = {
    create: (_: unknown, __: string, event: Event) => take(event),
    patch: (_: unknown, namespace: string, name: string, ___: string, patch: object) =>
      take({ metadata: { namespace, name }, ...patch } as unknown as Event),
  } as unknown as Client
  const log = pino({ level: 'silent' })
  return { asked, events: eventRecorder(client, 'test', '', log) }
}
const podOf = (uid: string) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: uid, namespace: 'ns', uid } })
const turn = (): Promise<unknown> => new Promise(resolve => setImmediate(resolve))

test('events of different objects are written side by side, those of one object in order; none of 10,000 is dropped', async () => {
  const { asked, events } = recorder()
  const count = 10_000
  for (let i = 0; i < count; i++) events.event(podOf(`p${i}`), 'Normal', 'Scheduled', 'yes')
  events.event(podOf('p0'), 'Normal', 'Pulled', 'later')
  const written: string[] = []
  let atOnce = 0
  for (await turn(); asked.length > 0; await turn()) {
    atOnce = Math.max(atOnce, asked.length)
    for (const { event, answer } of asked.splice(0)) {
      written.push(`${event.involvedObject.name} ${event.reason}`)
      answer()
    }
  }
  expect(written).toHaveLength(count + 1)
  expect(atOnce).toBe(16)
  expect(written.indexOf('p0 Scheduled')).toBeLessThan(written.indexOf('p0 Pulled'))
})

test('the same event while it waits is one with a count; what is too much is dropped', async () => {
  const { asked, events } = recorder()
  events.event(podOf('a'), 'Normal', 'First', 'holds the lane')
  for (let i = 0; i < 50; i++) events.event(podOf('a'), 'Warning', 'Failed', 'the same')
  await turn()
  asked.shift()!.answer()
  await turn()
  expect(asked.map(({ event }) => [event.reason, event.count])).toEqual([['Failed', 50]])
  for (let i = 0; i < 100_000; i++) events.event(podOf(`p${i}`), 'Normal', 'Scheduled', 'm'.repeat(100))
  let written = 0
  for (await turn(); asked.length > 0; await turn())
    for (const { answer } of asked.splice(0)) {
      written++
      answer()
    }
  expect(written).toBeGreaterThan(5_000)
  expect(written).toBeLessThan(20_000)
})
