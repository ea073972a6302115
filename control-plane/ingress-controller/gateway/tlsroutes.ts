/** TLSRoutes as streams: connections over TLS by the name that the client says. */
import type { Target } from '../model.ts'
import { backendOf } from './backends.ts'
import type { GatewayView, ServedListener } from './listeners.ts'
import { attach, parentsOf, type RouteOutcome } from './parents.ts'
import type { Condition, TLSRoute } from './types.ts'

/** Who is not asked anything: the connection ends. */
const nobody: Omit<Target, 'weight'> = { lines: ['mode tcp', 'tcp-request content reject'], serverOptions: '' }

/** The streams of a route on the listeners that let it in, and what its parents are to be told. */
export function serveTLSRoute(
  route: TLSRoute,
  listeners: readonly ServedListener[],
  view: GatewayView,
  controllerName: string,
): RouteOutcome {
  const { namespace = '', generation } = route.metadata
  const { parentRefs = [], hostnames = [], rules = [] } = route.spec
  const parented = { kind: 'TLSRoute', namespace, generation, parentRefs, hostnames }
  const outcome: RouteOutcome = { rules: [], streams: [], parents: [] }
  const mine = parentsOf(parented, listeners)
  if (mine.length === 0) return outcome
  const unresolved: Condition[] = []
  const targets = rules
    .flatMap(r => r.backendRefs ?? [])
    .map((ref): Target => {
      const found = backendOf(view, 'TLSRoute', namespace, ref)
      const weight = ref.weight ?? 1
      if (!('type' in found)) return { service: found.service, lines: ['mode tcp'], serverOptions: '', weight }
      unresolved.push(found)
      return { ...nobody, weight }
    })
  outcome.parents = attach(parented, mine, { unresolved: unresolved[0] }, view, controllerName, ({ listener, at }, hosts) => {
    const ends = (listener.tls?.mode ?? 'Terminate') === 'Terminate'
    for (const host of hosts) outcome.streams.push({ at: at!, host, ends, targets })
  })
  return outcome
}
