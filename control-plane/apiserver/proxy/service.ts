/**
 * Where a Service answers, for what the API server itself asks there: other API servers and webhooks. It may have no way into the network
 * of pods, so a pod is dialled by its node; what is no pod by the API server itself.
 */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpointSlices, pods, services } from '#shared/api/kinds.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { dialError, hostPort } from '#shared/component/neterror.ts'
import { notFound, unavailable } from '#shared/machinery/status.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { checkAddress, dialFromNode } from './location.ts'

export interface ServicePort {
  readonly namespace: string
  readonly name: string
  readonly port: number
}

export interface ServiceAddress {
  /** Of the endpoint that was chosen: `10.0.0.1:443`. */
  readonly host: string
  /** A connection to it. Rejects when there is none before `signal` aborts. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>
}

const serviceNameLabel = 'kubernetes.io/service-name'

/** The slices of a Service, as they are stored. */
export const slicesOf = (registry: Registry, namespace: string, name: string): Stored[] =>
  registry.list(endpointSlices, namespace).filter(stored => stored.labels?.[serviceNameLabel] === name)

/** A ready endpoint of the Service's port, any at random. Throws as `serviceAddresses`. */
export function resolveService(registry: Registry, bus: BusConnection, port: ServicePort): ServiceAddress {
  const addresses = serviceAddresses(registry, bus, port)
  return addresses[Math.floor(Math.random() * addresses.length)]!
}

/** The ready endpoints of the Service's port. Throws 404 without the Service and 503 without an endpoint, in upstream's words. */
export function serviceAddresses(registry: Registry, bus: BusConnection, { namespace, name, port }: ServicePort): ServiceAddress[] {
  const service = registry.get(services, namespace, name)?.object as unknown as Service | undefined
  if (!service) throw notFound({ group: '', resource: 'service' }, name)
  const { type, externalName, ports = [] } = service.spec
  if (type === 'ExternalName') return [direct(externalName ?? '', port)]
  const servicePort = ports.find(p => p.port === port)
  if (!servicePort) throw unavailable(`no service port ${port} found for service ${JSON.stringify(name)}`)
  const candidates = slicesOf(registry, namespace, name).flatMap(stored => {
    const slice = stored.object as unknown as EndpointSlice
    const number = slice.ports?.find(p => (p.name ?? '') === (servicePort.name ?? ''))?.port
    return number === undefined ? [] : slice.endpoints.filter(e => e.conditions?.ready !== false).map(endpoint => ({ endpoint, number }))
  })
  if (candidates.length === 0) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`)
  return candidates.map(({ endpoint, number }) => addressOf(registry, bus, namespace, endpoint, number))
}

function addressOf(registry: Registry, bus: BusConnection, namespace: string, endpoint: Endpoint, number: number): ServiceAddress {
  const { addresses, targetRef } = endpoint
  const [ip = ''] = addresses
  const host = hostPort(ip, number)
  const own = direct(ip, number)
  if (targetRef?.kind !== 'Pod' || !targetRef.name) return checked(ip, own)
  const pod = registry.get(pods, targetRef.namespace ?? namespace, targetRef.name)?.object as unknown as Pod | undefined
  // An endpoint can be written by who may not reach what it names.
  if (!pod?.spec.nodeName || !pod.status?.podIPs?.some(p => p.ip === ip)) return checked(ip, own)
  const node = pod.spec.nodeName
  return checked(ip, { host, dial: signal => dialFromNode(bus, node, ip, number, signal) })
}

/** One of the addresses that are nobody's to reach is not dialled. */
const checked = (ip: string, { host, dial }: ServiceAddress): ServiceAddress => ({
  host,
  async dial(signal) {
    checkAddress(ip)
    return dial(signal)
  },
})

const direct = (address: string, port: number): ServiceAddress => ({
  host: hostPort(address, port),
  dial: signal =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: address, port, noDelay: true, signal })
      socket.once('error', e => reject(new Error(dialError(e, hostPort(address, port)), { cause: e })))
      socket.once('connect', () => resolve(socket))
    }),
})
