import { expect, test } from 'vitest'
import { correlator } from '#shared/client/correlator.ts'
import { newEvent } from '#shared/client/events.ts'

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
