import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { runController, type ControllerOptions } from '#shared/client/controller.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'

const log = pino({ level: 'silent' })
const written = { metadata: { name: 'a', namespace: 'ns', resourceVersion: '7' } } as ConfigMap
const client = { create: async () => written, get: async () => written } as unknown as Client

/** An informer that never tells anything; `reached` decides when it has seen a write. */
const informer = (reached: () => Promise<void>): Informer<ConfigMap> =>
  ({ kind: configMaps, synced: Promise.resolve(), subscribe: () => () => {}, reached }) as unknown as Informer<ConfigMap>

/** Runs a controller of one worker; resolves with its queue when it has started. */
function run(options: Pick<ControllerOptions, 'reconcile'> & Partial<ControllerOptions>): Promise<WorkQueue> {
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  return new Promise(
    resolve => void runController({ name: 'test', client, sources: [], workers: 1, log, ...options }, stop.signal, resolve),
  )
}

test('a key is held back until every informer that is read has seen its writes, sources or not', async () => {
  const seen = Promise.withResolvers<void>()
  let calls = 0
  const queue = await run({
    reads: [informer(() => seen.promise)],
    reconcile: async (_, client) => {
      calls++
      await client.create(configMaps, 'ns', written)
    },
  })
  queue.add('a')
  queue.add('other')
  await vi.waitFor(() => expect(calls).toBe(2))
  queue.add('a')
  // Other keys do not wait.
  queue.add('third')
  await vi.waitFor(() => expect(calls).toBe(3))
  expect(queue.statistics.handedOut()).toHaveLength(3)
  seen.resolve()
  await vi.waitFor(() => expect(calls).toBe(4))
})

test('a key is not lost when nobody can tell whether its writes were seen', async () => {
  let calls = 0
  const queue = await run({
    reads: [informer(() => Promise.reject(new Error('broken')))],
    reconcile: async (_, client) => {
      calls++
      await client.create(configMaps, 'ns', written)
    },
  })
  queue.add('a')
  await vi.waitFor(() => expect(queue.statistics.worked.count).toBe(1))
  queue.add('a')
  await vi.waitFor(() => expect(calls).toBe(2))
})

test('a reconcile that exceeds its deadline loses its worker and may write no more; its key comes again when it has ended', async () => {
  const stuck = Promise.withResolvers<void>()
  const outcomes: string[] = []
  let calls = 0
  const queue = await run({
    deadlineMs: 20,
    reconcile: async (key, client) => {
      if (key === 'other' || calls++ > 0) return void outcomes.push(`${key} again`)
      await stuck.promise
      await client.create(configMaps, 'ns', written).catch((e: Error) => {
        outcomes.push(e.message)
        throw e
      })
    },
  })
  queue.add('a')
  queue.add('other')
  await vi.waitFor(() => expect(outcomes).toEqual(['other again']))
  expect(queue.statistics.handedOut()).toHaveLength(1)
  stuck.resolve()
  await vi.waitFor(() => expect(outcomes).toHaveLength(3))
  expect(outcomes.slice(1)).toEqual(['Timeout: the reconcile did not complete within 20 ms', 'a again'])
})
