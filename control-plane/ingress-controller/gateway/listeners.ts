/** Listeners of Gateways: which are served, with which certificates, and which routes they let in. */
import { selects } from '#shared/machinery/labels.ts'
import { certificateOf } from '../certificates.ts'
import type { Known } from '../ingress.ts'
import type { Certificate, Rule, Target } from '../model.ts'
import type { GatewayPlace } from './services.ts'
import { group, type Condition, type Gateway, type Listener, type ParentRef, type ReferenceGrant } from './types.ts'

export interface GatewayView extends Known {
  labelsOfNamespace(name: string): { [key: string]: string }
  grants: readonly ReferenceGrant[]
}
export interface ServedListener {
  gateway: Gateway
  listener: Listener
  /** The port of the proxy; undefined until there is one. */
  at: number | undefined
  /** Whether clients come over TLS. */
  secure: boolean
  conditions: Condition[]
  /** False: no route is let in. */
  accepted: boolean
  routes: number
}

export const condition = (type: string, status: boolean, reason: string, message = ''): Condition => ({
  type,
  status: status ? 'True' : 'False',
  reason,
  message,
})

/** Whether an object may name one of another namespace. */
export function isGranted(
  grants: readonly ReferenceGrant[],
  from: { group: string; kind: string; namespace: string },
  to: { group: string; kind: string; namespace: string; name: string },
): boolean {
  return (
    from.namespace === to.namespace ||
    grants.some(
      ({ metadata, spec }) =>
        metadata.namespace === to.namespace &&
        spec.from.some(f => f.group === from.group && f.kind === from.kind && f.namespace === from.namespace) &&
        spec.to.some(t => t.group === to.group && t.kind === to.kind && (!t.name || t.name === to.name)),
    )
  )
}

const kindsOf: Record<string, readonly string[]> = {
  HTTP: ['HTTPRoute', 'GRPCRoute'],
  HTTPS: ['HTTPRoute', 'GRPCRoute'],
  TLS: ['TLSRoute'],
}
/** Over one port HTTPS and TLS are told apart by the name that the client says. */
const isTLS = (protocol: string): boolean => protocol !== 'HTTP'
/** Of those of a Gateway that can be served at all. */
const conflicts = (a: Listener, b: Listener): 'ProtocolConflict' | 'HostnameConflict' | undefined => {
  if (a.port !== b.port || kindsOf[a.protocol] === undefined || kindsOf[b.protocol] === undefined) return undefined
  if (isTLS(a.protocol) !== isTLS(b.protocol)) return 'ProtocolConflict'
  return (a.hostname ?? '') === (b.hostname ?? '') ? 'HostnameConflict' : undefined
}

/** Why a Gateway is not served at all: its condition Accepted. */
export function refusalOf({ spec }: Gateway): Condition | undefined {
  if (spec.infrastructure?.parametersRef)
    return condition('Accepted', false, 'InvalidParameters', 'there are no parameters of this controller')
  const odd = spec.addresses?.find(a => (a.type ?? 'IPAddress') !== 'IPAddress')
  return odd && condition('Accepted', false, 'UnsupportedAddress', `an address of type ${odd.type} is not supported`)
}

const asksForCertificates = ({ spec }: Gateway, { port, tls }: Listener): boolean => {
  const { default: usual, perPort = [] } = spec.tls?.frontend ?? {}
  const own = perPort.find(p => p.port === port)
  return (own ? own.tls : usual)?.validation !== undefined || tls?.frontendValidation !== undefined
}

/** One listener as it is served. Its certificates are added to `certificates`. */
export function serveListener(
  gateway: Gateway,
  listener: Listener,
  view: GatewayView,
  certificates: Certificate[],
  place: GatewayPlace,
): ServedListener {
  const { port, protocol } = listener
  const at = place.inner(port)
  const refuse = (reason: string, message: string): ServedListener => ({
    gateway,
    listener,
    at,
    secure: false,
    accepted: false,
    routes: 0,
    conditions: [
      condition('Accepted', false, reason, message),
      condition('Programmed', false, 'Invalid', message),
      condition('ResolvedRefs', true, 'ResolvedRefs'),
    ],
  })
  if (refusalOf(gateway)) return refuse('Pending', 'its Gateway is not accepted')
  if (kindsOf[protocol] === undefined) return refuse('UnsupportedProtocol', `protocol ${protocol} is not supported`)
  const conflict = gateway.spec.listeners.flatMap(l => (l === listener ? [] : (conflicts(listener, l) ?? [])))[0]
  if (conflict) {
    const message =
      conflict === 'ProtocolConflict' ? `port ${port} is of another protocol, too` : 'another listener has the same port and host name'
    const refused = refuse(conflict, message)
    return { ...refused, conditions: [...refused.conditions, condition('Conflicted', true, conflict, message)] }
  }
  const conditions = [condition('Accepted', true, 'Accepted'), condition('Conflicted', false, 'NoConflicts')]
  const mode = listener.tls?.mode ?? 'Terminate'
  // Without it everybody would be let in.
  if (isTLS(protocol) && mode === 'Terminate' && asksForCertificates(gateway, listener))
    return refuse('UnsupportedValue', 'certificates of clients are not asked for')
  if (protocol === 'HTTPS' && mode !== 'Terminate') return refuse('UnsupportedValue', 'TLS of HTTPS is terminated, not passed through')
  const secure = isTLS(protocol)
  const served = { gateway, listener, at, secure, accepted: true, routes: 0 }
  const unresolved = (reason: string, message: string): ServedListener => ({
    ...served,
    conditions: [...conditions, condition('Programmed', false, 'Invalid', message), condition('ResolvedRefs', false, reason, message)],
  })
  if (secure && mode === 'Terminate') {
    const namespace = gateway.metadata.namespace ?? ''
    for (const ref of listener.tls?.certificateRefs ?? []) {
      if ((ref.group ?? '') !== '' || (ref.kind ?? 'Secret') !== 'Secret')
        return unresolved('InvalidCertificateRef', 'a certificate is of a Secret')
      const owner = ref.namespace ?? namespace
      const from = { group, kind: 'Gateway', namespace }
      if (!isGranted(view.grants, from, { group: '', kind: 'Secret', namespace: owner, name: ref.name }))
        return unresolved('RefNotPermitted', `no ReferenceGrant lets it name Secret ${owner}/${ref.name}`)
      try {
        certificates.push({ at, hosts: listener.hostname ? [listener.hostname] : [], ...certificateOf(view, owner, ref.name) })
      } catch (e) {
        return unresolved('InvalidCertificateRef', (e as Error).message)
      }
    }
  }
  const kinds = listener.allowedRoutes?.kinds ?? []
  const odd = kinds.find(k => (k.group ?? group) !== group || !kindsOf[protocol]!.includes(k.kind))
  if (odd) {
    const made = unresolved('InvalidRouteKinds', `routes of kind ${odd.kind} are not for a listener of ${protocol}`)
    // The others are let in.
    return supportedKinds(listener).length > 0 ? made : { ...made, accepted: false }
  }
  const programmed =
    at === undefined ? condition('Programmed', false, 'Pending', 'it has no port yet') : condition('Programmed', true, 'Programmed')
  return { ...served, conditions: [...conditions, programmed, condition('ResolvedRefs', true, 'ResolvedRefs')] }
}

/** Kinds of routes that a listener lets in: of those that its protocol can have the ones that it names, if it names any. */
export function supportedKinds({ protocol, allowedRoutes }: Listener): { group: string; kind: string }[] {
  const named = allowedRoutes?.kinds ?? []
  return (kindsOf[protocol] ?? [])
    .filter(kind => named.length === 0 || named.some(k => k.kind === kind && (k.group ?? group) === group))
    .map(kind => ({ group, kind }))
}

/** What no route of a listener takes is not for routes of another one that has less to say of the host. `host` is a rule's. */
export const isolation = (served: ServedListener, host: string): Rule[] =>
  served.listener.hostname
    ? [
        {
          host,
          secure: served.secure,
          at: served.at,
          path: { type: 'Prefix', value: '/' },
          conditions: [],
          precedence: -1,
          targets: [nothing],
        },
      ]
    : []
const nothing: Target = { lines: ['http-request return status 404'], serverOptions: '', weight: 1 }
/** A host name with a wildcard is for one label or more. */
export const ruleHost = (hostname: string): string => hostname.replace(/^\*\./, '**.')

/** Whether a listener lets in routes of this kind and namespace. */
export function letsIn({ gateway, listener }: ServedListener, kind: string, namespace: string, view: GatewayView): boolean {
  const { namespaces } = listener.allowedRoutes ?? {}
  if (!supportedKinds(listener).some(k => k.kind === kind)) return false
  switch (namespaces?.from ?? 'Same') {
    case 'All':
      return true
    case 'Selector':
      return selects(namespaces?.selector as never, view.labelsOfNamespace(namespace))
    default:
      return gateway.metadata.namespace === namespace
  }
}

/** Whether a route's reference is to the listener's Gateway. `namespace` is the route's. */
export const isParent = ({ gateway }: ServedListener, ref: ParentRef, namespace: string): boolean =>
  (ref.group ?? group) === group &&
  (ref.kind ?? 'Gateway') === 'Gateway' &&
  ref.name === gateway.metadata.name &&
  (ref.namespace ?? namespace) === gateway.metadata.namespace
/** Whether the reference, which is to its Gateway, means this listener. */
export const isNamed = ({ listener }: ServedListener, { sectionName, port }: ParentRef): boolean =>
  (sectionName === undefined || sectionName === listener.name) && (port === undefined || port === listener.port)

const suffix = (wildcard: string): string => wildcard.slice(1)
/** The host names that both a listener and a route have; [''] for all, [] for none. */
export function commonHosts(listener: string | undefined, route: readonly string[]): string[] {
  if (route.length === 0) return [listener ?? '']
  if (!listener) return [...route]
  return route.flatMap(host => {
    if (host === listener) return [host]
    if (listener.startsWith('*.') && host.endsWith(suffix(listener))) return [host]
    return host.startsWith('*.') && listener.endsWith(suffix(host)) ? [listener] : []
  })
}

/** Whether a listener's host name is for all names of another one. */
const covers = (outer: string | undefined, inner: string): boolean =>
  !outer || outer === inner || (outer.startsWith('*.') && inner.endsWith(suffix(outer)))
/** Of host names of a route on a listener those that are not another listener's, at the same port, which says more of them. */
export const ownHosts = (
  { listener: { hostname }, at }: ServedListener,
  hosts: readonly string[],
  all: readonly ServedListener[],
): string[] => {
  const finer = all.flatMap(({ listener: other, accepted, at: there }) =>
    accepted && there === at && other.hostname && other.hostname !== hostname && covers(hostname, other.hostname) ? [other.hostname] : [],
  )
  return hosts.filter(host => !finer.some(name => covers(name, host)))
}
