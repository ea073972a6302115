/** Which listeners let a route in, and what its status says of that. */
import type { Rule, Stream } from '../model.ts'
import {
  commonHosts,
  condition,
  isNamed,
  isParent,
  letsIn,
  ownHosts,
  ruleHost,
  type GatewayView,
  type ServedListener,
} from './listeners.ts'
import type { Condition, ParentRef, RouteParentStatus } from './types.ts'

export interface RouteOutcome {
  rules: Rule[]
  streams: Stream[]
  parents: RouteParentStatus[]
}
interface Parented {
  kind: string
  namespace: string
  generation: number | undefined
  parentRefs: readonly ParentRef[]
  hostnames: readonly string[]
}
/** What a route comes to, but for hosts and listeners. */
export interface Compiled {
  /** Why it cannot be served. */
  unsupported?: string | undefined
  /** The first reference that leads nowhere. */
  unresolved?: Condition | undefined
}

/** The parents that are ours: for each its listeners, and of them those that the route names, of which there may be none. */
export const parentsOf = ({ parentRefs, namespace }: Parented, listeners: readonly ServedListener[]) =>
  parentRefs.flatMap(ref => {
    const own = listeners.filter(l => isParent(l, ref, namespace))
    return own.length > 0 ? [{ ref, own, named: own.filter(l => isNamed(l, ref)) }] : []
  })

/** Calls `serve` for each listener that lets the route in, with the host names that both have; what its parents are to be told. */
export function attach(
  route: Parented,
  mine: ReturnType<typeof parentsOf>,
  { unsupported, unresolved }: Compiled,
  view: GatewayView,
  controllerName: string,
  serve: (served: ServedListener, hosts: readonly string[]) => void,
): RouteParentStatus[] {
  return mine.map(({ ref, own, named }) => {
    const open = named.filter(l => l.accepted && letsIn(l, route.kind, route.namespace, view))
    const attached = open.flatMap(l => {
      const hosts = commonHosts(l.listener.hostname, route.hostnames)
      return hosts.length > 0 ? [{ served: l, hosts }] : []
    })
    const refused = (reason: string, message: string): Condition => condition('Accepted', false, reason, message)
    const accepted =
      unsupported !== undefined
        ? refused('UnsupportedValue', unsupported)
        : open.length === 0
          ? refused(named.some(l => l.accepted) ? 'NotAllowedByListeners' : 'NoMatchingParent', 'no listener lets it in')
          : attached.length === 0
            ? refused('NoMatchingListenerHostname', 'no listener has one of its host names')
            : condition('Accepted', true, 'Accepted')
    if (accepted.status === 'True')
      for (const { served, hosts } of attached) {
        served.routes++
        if (served.at !== undefined) serve(served, ownHosts(served, hosts, own).map(ruleHost))
      }
    return {
      parentRef: ref,
      controllerName,
      conditions: [accepted, unresolved ?? condition('ResolvedRefs', true, 'ResolvedRefs')].map(c => ({
        ...c,
        observedGeneration: route.generation,
      })) as Condition[],
    }
  })
}
