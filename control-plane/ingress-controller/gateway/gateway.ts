/** Gateways and their routes as rules, and what each object is to be told. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Certificate, Listening, Problem, Rule, Routing, Stream } from '../model.ts'
import { supportedFeatures } from './features.ts'
import {
  condition,
  isolation,
  refusalOf,
  ruleHost,
  serveListener,
  supportedKinds,
  type GatewayView,
  type ServedListener,
} from './listeners.ts'
import type { RouteOutcome } from './parents.ts'
import { serveRoute } from './routes.ts'
import type { GatewayPlace } from './services.ts'
import { serveTLSRoute } from './tlsroutes.ts'
import type { Condition, Gateway, GatewayClass, GRPCRoute, HTTPRoute, TLSRoute } from './types.ts'

export interface GatewayObjects {
  classes: readonly GatewayClass[]
  gateways: readonly Gateway[]
  httpRoutes: readonly HTTPRoute[]
  grpcRoutes: readonly GRPCRoute[]
  tlsRoutes?: readonly TLSRoute[]
}
/** What is to be written into the status of objects. */
export interface GatewayStatuses {
  classes: Map<GatewayClass, NonNullable<GatewayClass['status']>>
  gateways: Map<Gateway, NonNullable<Gateway['status']>>
  httpRoutes: Map<HTTPRoute, NonNullable<HTTPRoute['status']>>
  grpcRoutes: Map<GRPCRoute, NonNullable<GRPCRoute['status']>>
  tlsRoutes: Map<TLSRoute, NonNullable<TLSRoute['status']>>
}

/** The oldest comes first, and so wins where several want the same. */
const byAge = (a: KubeObject, b: KubeObject): number => {
  const key = ({ metadata }: KubeObject): string => `${metadata.creationTimestamp} ${metadata.namespace}/${metadata.name}`
  return key(a) < key(b) ? -1 : 1
}

function acceptedOf(gateway: Gateway, served: readonly ServedListener[]): Condition {
  const refused = refusalOf(gateway)
  if (refused) return refused
  const valid = served.every(l => l.accepted)
  return condition(
    'Accepted',
    served.some(l => l.accepted),
    valid ? 'Accepted' : 'ListenersNotValid',
  )
}
function programmedOf({ spec }: Gateway, served: readonly ServedListener[], { addresses }: GatewayPlace): Condition {
  const no = (reason: string, message: string): Condition => condition('Programmed', false, reason, message)
  if (!served.some(l => l.accepted)) return no('Invalid', 'it has no listener that can be served')
  const wanted = spec.addresses?.find(a => a.value && !addresses.some(({ value }) => value === a.value))
  if (wanted) return no('AddressNotUsable', `${wanted.value} is none of its addresses`)
  if (addresses.length === 0) return no('AddressNotAssigned', 'it has no address yet')
  return served.some(l => l.accepted && l.at === undefined)
    ? no('Pending', 'it has not all of its ports yet')
    : condition('Programmed', true, 'Programmed')
}

/** `placeOf` says where a Gateway is. */
export function gatewayRouting(
  { classes, gateways, httpRoutes, grpcRoutes, tlsRoutes = [] }: GatewayObjects,
  view: GatewayView,
  controllerName: string,
  placeOf: (gateway: Gateway) => GatewayPlace,
): { routing: Routing; statuses: GatewayStatuses } {
  const rules: Rule[] = []
  const streams: Stream[] = []
  const certificates: Certificate[] = []
  const problems: Problem[] = []
  const statuses: GatewayStatuses = {
    classes: new Map(),
    gateways: new Map(),
    httpRoutes: new Map(),
    grpcRoutes: new Map(),
    tlsRoutes: new Map(),
  }
  const ours = classes.filter(c => c.spec.controllerName === controllerName)
  const names = new Set(ours.filter(c => !c.spec.parametersRef).map(c => c.metadata.name))
  for (const c of ours) {
    const accepted = c.spec.parametersRef
      ? condition('Accepted', false, 'InvalidParameters', 'there are no parameters of this controller')
      : condition('Accepted', true, 'Accepted')
    const conditions = [{ ...accepted, observedGeneration: c.metadata.generation ?? 1 }]
    statuses.classes.set(c, { conditions, supportedFeatures })
  }

  const own = gateways.filter(g => names.has(g.spec.gatewayClassName))
  const places = new Map(own.map(g => [g, placeOf(g)]))
  const listeners: ServedListener[] = [...own]
    .sort(byAge)
    .flatMap(g => g.spec.listeners.map(l => serveListener(g, l, view, certificates, places.get(g)!)))
  const listening = new Map<number, Listening>()
  for (const { at, accepted, secure, listener } of listeners) {
    if (at === undefined || !accepted || listener.protocol === 'TLS') continue
    const hosts = secure ? [...(listening.get(at)?.hosts ?? []), ruleHost(listener.hostname ?? '')] : []
    listening.set(at, { at, port: listener.port, secure, hosts })
  }

  /** Rules that are there, and what the route's status says of this controller's parents, beside those of others. */
  const routed = <R extends HTTPRoute | GRPCRoute | TLSRoute>(
    route: R,
    { rules: made, streams: more, parents }: RouteOutcome,
  ): R['status'] | undefined => {
    rules.push(...made)
    streams.push(...more)
    for (const { conditions } of parents)
      for (const c of conditions)
        if (c.status === 'False') problems.push({ about: `Route/${route.metadata.namespace}/${route.metadata.name}`, message: c.message })
    const others = (route.status?.parents ?? []).filter(p => p.controllerName !== controllerName)
    const had = (route.status?.parents ?? []).length > others.length
    return parents.length > 0 || had ? { parents: [...others, ...parents] } : undefined
  }
  for (const route of [...httpRoutes].sort(byAge)) {
    const status = routed(route, serveRoute({ kind: 'HTTPRoute', route }, listeners, view, controllerName))
    if (status) statuses.httpRoutes.set(route, status)
  }
  for (const route of [...grpcRoutes].sort(byAge)) {
    const status = routed(route, serveRoute({ kind: 'GRPCRoute', route }, listeners, view, controllerName))
    if (status) statuses.grpcRoutes.set(route, status)
  }

  for (const route of [...tlsRoutes].sort(byAge)) {
    const status = routed(route, serveTLSRoute(route, listeners, view, controllerName))
    if (status) statuses.tlsRoutes.set(route, status)
  }

  for (const l of listeners)
    if (l.at !== undefined && l.accepted && l.listener.protocol !== 'TLS') rules.push(...isolation(l, ruleHost(l.listener.hostname ?? '')))

  for (const gateway of own) {
    const served = listeners.filter(l => l.gateway === gateway)
    const observedGeneration = gateway.metadata.generation ?? 1
    const place = places.get(gateway)!
    statuses.gateways.set(gateway, {
      addresses: [...place.addresses],
      conditions: [acceptedOf(gateway, served), programmedOf(gateway, served, place)].map(c => ({ ...c, observedGeneration })),
      listeners: served.map(l => ({
        name: l.listener.name,
        supportedKinds: supportedKinds(l.listener),
        attachedRoutes: l.routes,
        conditions: l.conditions.map(c => ({ ...c, observedGeneration })),
      })),
    })
  }
  return { routing: { rules, streams, listening: [...listening.values()], certificates, problems }, statuses }
}
