/** Puts claims and Services in step after crashes: claims whose Service does not hold them go, Services without a claim get theirs. */
import type { Service } from '#shared/api/core/service.ts'
import type { Logger } from '#shared/component/log.ts'
import { WriteConflict, type Registry } from '../registry/registry.ts'
import { heldBy, holder, servicesTable } from './allocate.ts'
import { addresses, claim, isForeign, isSettled, nodePorts, ownerOf } from './claims.ts'

const everyMs = 180_000

/** One pass. Several API servers may run it at the same time. */
export async function repairClaims(registry: Registry, log: Logger): Promise<void> {
  const holds = holder(registry)
  await registry.fresh()
  for (const table of [addresses, nodePorts]) {
    for (const stored of registry.list(table)) {
      if (isForeign(table, stored)) continue
      const owner = ownerOf(stored)
      if (!isSettled(stored) || holds(table, owner, stored.name)) continue
      try {
        await registry.remove(table, '', stored.name, stored.version)
        log.info({ claim: stored.name, service: `${owner.namespace}/${owner.name}` }, 'released what no service holds')
      } catch (e) {
        if (!(e instanceof WriteConflict)) throw e
      }
    }
  }
  for (const stored of registry.list(servicesTable)) {
    const { namespace, name } = stored
    for (const h of heldBy((stored.object as Service).spec)) {
      if (registry.get(h.table, '', h.name)) continue
      if (await claim(registry, h.table, h.name, { namespace, name }, holds))
        log.warn({ claim: h.name, service: `${namespace}/${name}` }, 'a service had no claim on what it holds')
    }
  }
}

/** Repairs now and every three minutes, as upstream does. Returns how to stop. */
export function startRepair(registry: Registry, log: Logger): () => void {
  const run = (): void => void repairClaims(registry, log).catch((e: unknown) => log.warn({ err: e }, 'repairing service claims failed'))
  run()
  const timer = setInterval(run, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
