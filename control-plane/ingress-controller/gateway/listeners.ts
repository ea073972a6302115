/** Listeners of Gateways: which are served, with which certificates, and which routes they let in. */
import { selects } from '#shared/machinery/labels.ts'
import { certificateOf } from '../certificates.ts'
import type { Known } from '../ingress.ts'
import type { Certificate } from '../model.ts'
import { group, type Condition, type Gateway, type Listener, type ParentRef, type ReferenceGrant } from './types.ts'

export interface GatewayView extends Known {
  labelsOfNamespace(name: string): { [key: string]: string }
  grants: readonly ReferenceGrant[]
}
export interface ServedListener {
  gateway: Gateway
  listener: Listener
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

/** The ports that lead to the proxy, by protocol. */
const ports: Record<string, number> = { HTTP: 80, HTTPS: 443 }

/** One listener as it is served. Its certificates are added to `certificates`. */
export function serveListener(gateway: Gateway, listener: Listener, view: GatewayView, certificates: Certificate[]): ServedListener {
  const refuse = (reason: string, message: string): ServedListener => ({
    gateway,
    listener,
    secure: false,
    accepted: false,
    routes: 0,
    conditions: [
      condition('Accepted', false, reason, message),
      condition('Programmed', false, 'Invalid', message),
      condition('ResolvedRefs', true, 'ResolvedRefs'),
    ],
  })
  const port = ports[listener.protocol]
  if (port === undefined) return refuse('UnsupportedProtocol', `protocol ${listener.protocol} is not supported`)
  if (listener.port !== port) return refuse('PortUnavailable', `${listener.protocol} is served at port ${port} alone`)
  const others = gateway.spec.listeners.filter(l => l !== listener)
  if (others.some(l => l.port === listener.port && l.protocol !== listener.protocol))
    return refuse('ProtocolConflict', `port ${port} is of another protocol, too`)
  if (others.some(l => l.port === listener.port && (l.hostname ?? '') === (listener.hostname ?? '')))
    return refuse('HostnameConflict', 'another listener has the same port and host name')
  const conditions = [condition('Accepted', true, 'Accepted')]
  const secure = listener.protocol === 'HTTPS'
  const served = { gateway, listener, secure, accepted: true, routes: 0 }
  const unresolved = (reason: string, message: string): ServedListener => ({
    ...served,
    conditions: [...conditions, condition('Programmed', false, 'Invalid', message), condition('ResolvedRefs', false, reason, message)],
  })
  if (secure) {
    if ((listener.tls?.mode ?? 'Terminate') !== 'Terminate') return refuse('UnsupportedValue', 'TLS is terminated, not passed through')
    const namespace = gateway.metadata.namespace ?? ''
    for (const ref of listener.tls?.certificateRefs ?? []) {
      if ((ref.group ?? '') !== '' || (ref.kind ?? 'Secret') !== 'Secret')
        return unresolved('InvalidCertificateRef', 'a certificate is of a Secret')
      const at = ref.namespace ?? namespace
      const from = { group, kind: 'Gateway', namespace }
      if (!isGranted(view.grants, from, { group: '', kind: 'Secret', namespace: at, name: ref.name }))
        return unresolved('RefNotPermitted', `no ReferenceGrant lets it name Secret ${at}/${ref.name}`)
      try {
        certificates.push({ hosts: listener.hostname ? [listener.hostname] : [], ...certificateOf(view, at, ref.name) })
      } catch (e) {
        return unresolved('InvalidCertificateRef', (e as Error).message)
      }
    }
  }
  return {
    ...served,
    conditions: [...conditions, condition('Programmed', true, 'Programmed'), condition('ResolvedRefs', true, 'ResolvedRefs')],
  }
}

export const supportedKinds = ({ protocol }: Listener): { group: string; kind: string }[] =>
  ports[protocol] === undefined ? [] : ['HTTPRoute', 'GRPCRoute'].map(kind => ({ group, kind }))

/** Whether a listener lets in routes of this kind and namespace. */
export function letsIn({ gateway, listener }: ServedListener, kind: string, namespace: string, view: GatewayView): boolean {
  const { namespaces, kinds } = listener.allowedRoutes ?? {}
  if (kinds?.length && !kinds.some(k => k.kind === kind && (k.group ?? group) === group)) return false
  switch (namespaces?.from ?? 'Same') {
    case 'All':
      return true
    case 'Selector':
      return selects(namespaces?.selector as never, view.labelsOfNamespace(namespace))
    default:
      return gateway.metadata.namespace === namespace
  }
}

export const isNamed = ({ gateway, listener }: ServedListener, ref: ParentRef, namespace: string): boolean =>
  (ref.group ?? group) === group &&
  (ref.kind ?? 'Gateway') === 'Gateway' &&
  ref.name === gateway.metadata.name &&
  (ref.namespace ?? namespace) === gateway.metadata.namespace &&
  (ref.sectionName === undefined || ref.sectionName === listener.name) &&
  (ref.port === undefined || ref.port === listener.port)

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
