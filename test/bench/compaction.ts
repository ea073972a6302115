/** What it costs nats-server that replaced versions are removed from a stream of 20,000 objects, and how long a write waits meanwhile. */
import { setTimeout as delay } from 'node:timers/promises'
import { openRegistry, type RegistryOptions } from '#control-plane/apiserver/registry/jetstream.ts'
import type { Registry, Table } from '#control-plane/apiserver/registry/registry.ts'
import { streamState } from '#control-plane/apiserver/registry/stream.ts'
import { logger } from '#shared/component/log.ts'
import { startNats, type NatsFixture } from '../fixtures/nats.ts'
import type { LocalMeasurement } from './measurement.ts'
import { cpuMs } from './processortime.ts'
import { inFlight } from './statistics.ts'

const count = 20_000
const changed = 3_000
const settleMs = 2_000
const table: Table = { group: '', plural: 'pods' }
const namespace = 'default'

export const measureCompaction: LocalMeasurement = async () => {
  const nats = await startNats()
  try {
    const opened = async (options: Partial<RegistryOptions>): Promise<Registry> =>
      openRegistry({ connection: await nats.connect('registry'), log: logger('bench'), ...options })
    // What is to be removed is written before anybody removes it.
    const writer = await opened({ windowMs: 3_600_000 })
    await fill(writer)
    await writer.close()
    return await measure(nats, await opened({ windowMs: 1_000, settleMs }))
  } finally {
    await nats.stop()
  }
}

async function put(registry: Registry, i: number, data: string): Promise<unknown> {
  const name = `pod-${i}`
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec: { data } }
  return registry.put(table, namespace, name, object, registry.get(table, namespace, name)?.version ?? 0)
}

async function fill(registry: Registry): Promise<void> {
  const name = (i: number): string => `pod-${i * 3}`
  await inFlight(count, 64, i => put(registry, i, 'x'.repeat(1000)))
  await inFlight(changed, 64, i => put(registry, i * 3, 'y'.repeat(1000)))
  await inFlight(changed, 64, i =>
    registry.remove(table, namespace, name(i), registry.get(table, namespace, name(i))!.version).then(() => undefined),
  )
}

async function measure(nats: NatsFixture, registry: Registry) {
  const { nats: connection } = await nats.connect('registry')
  const left = count - changed
  const before = cpuMs([nats.pid])
  let slowest = 0
  for (let written = 0; (await streamState(connection, 60_000)).messages > left + written; written++) {
    const began = performance.now()
    await put(registry, 1, 'z')
    slowest = Math.max(slowest, performance.now() - began)
    await delay(20)
  }
  const used = cpuMs([nats.pid]) - before
  await registry.close()
  const of = `${changed} objects changed and deleted among ${count}`
  return [
    { name: `compaction of ${of}: CPU of nats-server`, unit: 's' as const, value: used / 1000, target: 2 },
    { name: `compaction of ${of}: the slowest write meanwhile`, unit: 'ms' as const, value: slowest },
  ]
}
