/** Writes statuses of the Gateway API's objects where they say something else. */
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { GatewayStatuses } from './gateway.ts'
import { gatewayClasses, gateways, grpcRoutes, httpRoutes, tlsRoutes, type Condition } from './types.ts'

const bare = (value: unknown): string =>
  JSON.stringify(value, (key, v: unknown) =>
    key === 'lastTransitionTime' ? undefined : v && typeof v === 'object' && !Array.isArray(v) ? sorted(v) : v,
  )
const sorted = (o: object): object => Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Conditions anywhere in a status get the time of their last change: that of the same condition before, unless it was another. */
function timed(now: unknown, before: unknown): unknown {
  if (Array.isArray(now)) {
    const old = Array.isArray(before) ? before : []
    return now.map((item: Record<string, unknown>, i) => {
      if (!('status' in item && 'reason' in item)) return timed(item, old[i])
      const same = (old as Condition[]).find(c => c.type === item['type'] && c.status === item['status'])
      return { ...item, lastTransitionTime: same?.lastTransitionTime ?? formatTime() }
    })
  }
  if (!now || typeof now !== 'object') return now
  const old = (before ?? {}) as Record<string, unknown>
  return Object.fromEntries(Object.entries(now).map(([k, v]) => [k, timed(v, old[k])]))
}

/** `kindOf` says in which version a kind is there. */
export async function writeGatewayStatuses(
  client: Client,
  statuses: GatewayStatuses,
  kindOf: <T>(kind: Kind<T>) => Kind<T>,
  log: Logger,
): Promise<void> {
  async function write<T extends KubeObject & { status?: unknown }>(kind: Kind<T>, wanted: ReadonlyMap<T, unknown>): Promise<void> {
    for (const [object, status] of wanted) {
      if (bare(object.status ?? {}) === bare(status)) continue
      const { namespace = '', name = '', resourceVersion } = object.metadata
      const patch = { metadata: { resourceVersion }, status: timed(status, object.status) }
      await client.patch(kind, namespace, name, 'merge', patch, 'status').catch((e: unknown) => {
        if (!isNotFound(e) && !isStatus(e, 'Conflict'))
          log.warn({ kind: kind.kind, name, err: (e as Error).message }, 'a status could not be written')
      })
    }
  }
  await write(gatewayClasses as never, statuses.classes as never)
  await write(gateways as never, statuses.gateways as never)
  await write(httpRoutes as never, statuses.httpRoutes as never)
  await write(grpcRoutes as never, statuses.grpcRoutes as never)
  await write(kindOf(tlsRoutes) as never, statuses.tlsRoutes as never)
}
