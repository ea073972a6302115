/**
 * How many volumes a driver takes on this node may change: asked for again as often as its CSIDriver says
 * (nodeAllocatableUpdatePeriodSeconds), and when an attachment failed because there are too many. pkg/volume/csi/nodeinfomanager, KEP-4876
 */
import { csiDrivers as csiDriverKind } from '#shared/api/kinds.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import type { CsiDrivers } from './drivers.ts'

/** How often it is looked whether a driver's period has changed. */
const lookMs = 60_000

/** `secondMs` is what a second of a period takes. */
export function followLimits(client: Client, drivers: CsiDrivers, log: Logger, signal: AbortSignal, secondMs = 1000): void {
  const followed = new Set<string>()
  async function follow(name: string): Promise<void> {
    let waited = 0
    while (!signal.aborted && drivers.names().includes(name)) {
      const about = (await client.get(csiDriverKind, '', name).catch(() => undefined)) as CSIDriver | undefined
      const periodMs = (about?.spec.nodeAllocatableUpdatePeriodSeconds ?? 0) * secondMs
      const pause = periodMs > 0 ? Math.min(Math.max(periodMs - waited, 0), lookMs) : lookMs
      await sleep(pause, signal)
      waited = periodMs > 0 ? waited + pause : 0
      if (periodMs === 0 || waited < periodMs || signal.aborted) continue
      waited = 0
      await drivers
        .refresh(name)
        .catch((e: Error) => log.warn({ driver: name, err: e.message }, 'the limits of a driver are not known anew'))
    }
  }
  drivers.onRegistered(() => {
    for (const name of drivers.names()) {
      if (followed.has(name)) continue
      followed.add(name)
      void follow(name).finally(() => followed.delete(name))
    }
  })
}
