import { expect, test } from 'vitest'
import { eventPace } from '#control-plane/scheduler/eventpace.ts'
import { Slots } from '#control-plane/scheduler/slots.ts'

test('beside bindings a hundred events are written at once, then fifty a second; all when there is no binding any more', async () => {
  const slots = new Slots(1)
  let clock = 0
  const pace = eventPace(slots, () => clock)
  const { promise: bound, resolve: bind } = Promise.withResolvers<void>()
  const binding = slots.run(() => bound)
  expect(slots.quiet).toBe(false)
  for (let i = 0; i < 100; i++) await pace(60_000)
  let written = 0
  const events = Array.from({ length: 20 }, () => pace(60_000).then(() => written++))
  clock += 20
  await pace(0)
  expect(written).toBe(0)
  bind()
  await binding
  await Promise.all(events)
  expect(slots.quiet).toBe(true)
  for (let i = 0; i < 1000; i++) await pace(60_000)
})

test('an event waits for its turn while bindings go on, and not longer than it may', async () => {
  const slots = new Slots(1)
  let clock = 0
  const pace = eventPace(slots, () => clock)
  const { promise: bound, resolve: bind } = Promise.withResolvers<void>()
  const binding = slots.run(() => bound)
  for (let i = 0; i < 100; i++) await pace(60_000)
  // The hundred-and-first has its turn after 20 ms, and one that may not wait at all has it now.
  await pace(60_000)
  await pace(0)
  expect(slots.quiet).toBe(false)
  clock += 40
  await pace(60_000)
  bind()
  await binding
})
