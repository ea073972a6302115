/** Where the proxy's backends find their servers: endpoints of Services, in slots that stay where they are while others come and go. */
import { createHash } from 'node:crypto'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Target } from './model.ts'

/** `address:port` of what may be asked: what is ready, else what still serves while it ends. */
export function endpointsOf(service: Service | undefined, port: string | number, slices: readonly EndpointSlice[]): string[] {
  const own = service?.spec.ports?.find(p => p.name === port || p.port === port)
  if (!own) return []
  const found = slices.flatMap(slice => {
    if (slice.addressType !== 'IPv4') return []
    const number = slice.ports?.find(p => (p.name ?? '') === (own.name ?? ''))?.port
    return number === undefined ? [] : (slice.endpoints ?? []).map(e => ({ at: `${e.addresses[0]}:${number}`, conditions: e.conditions }))
  })
  const ready = found.filter(e => e.conditions?.ready !== false)
  const some = ready.length > 0 ? ready : found.filter(e => e.conditions?.serving && e.conditions.terminating)
  return [...new Set(some.map(e => e.at))].sort()
}

/** More than are there, so that some may come without a reload. */
export const slotCount = (endpoints: number): number => Math.max(4, 2 ** Math.ceil(Math.log2(endpoints + 2)))

/** Endpoints in slots: those that were there stay in theirs. Undefined when there are too many. */
export function place(endpoints: readonly string[], before: readonly string[]): string[] | undefined {
  const wanted = new Set(endpoints)
  const slots = before.map(at => (wanted.delete(at) ? at : ''))
  for (const at of wanted) {
    const free = slots.indexOf('')
    if (free < 0) return undefined
    slots[free] = at
  }
  return slots
}

/** Backends with the same of all this are one. */
export function backendName({ service, external, lines, serverOptions }: Target): string {
  const key = JSON.stringify([service, external, lines, serverOptions])
  return `b_${createHash('sha256').update(key).digest('hex').slice(0, 16)}`
}
