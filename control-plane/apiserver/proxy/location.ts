/** Where the proxy subresources of pods, services and nodes lead, by upstream's rules, and how to get there: over the node's session. */
import type { Duplex } from 'node:stream'
import { isIP } from 'node:net'
import type { Endpoints } from '#shared/api/core/endpoints.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { openSession } from '#shared/bus/sessions.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { hostPort } from '#shared/component/neterror.ts'
import { badRequest, notFound, unavailable } from '#shared/machinery/status.ts'
import type { Registry } from '../registry/registry.ts'
import { endOf } from '#shared/streaming/status.ts'
import type { Call } from '../verbs/context.ts'

export interface Location {
  readonly scheme: 'http' | 'https'
  /** The address in URLs: `10.0.0.1:80`. */
  readonly host: string
  /** A connection to it. Rejects when the node cannot be reached; one that the node cannot make ends with the reason. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>
}

/** `name`, `name:port` or `scheme:name:port`. Throws 400 for anything else. */
export function splitName(kind: 'pod' | 'service' | 'node', id: string): { scheme: 'http' | 'https'; name: string; port: string } {
  const parts = id.split(':')
  const [scheme, name, port] = parts.length === 3 ? parts : ['', ...parts]
  if (parts.length > 3 || !name || !['', 'http', 'https'].includes(scheme!))
    throw badRequest(`invalid ${kind} request ${JSON.stringify(id)}`)
  return { scheme: scheme === 'https' ? 'https' : 'http', name, port: port ?? '' }
}

/** Addresses of the node itself are nobody's to reach: upstream's IsProxyableIP. */
export function checkAddress(ip: string): void {
  const mapped = ip.toLowerCase().replace(/^::ffff:/, '')
  const own = /^(127\.|169\.254\.|224\.0\.0\.|::1$|fe[89ab][0-9a-f]:|ff[01]2:|ff01:)/.test(mapped)
  if (isIP(ip) === 0 || own || mapped === '0.0.0.0' || mapped === '::') throw badRequest('address not allowed')
}

function portNumber(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw badRequest(`invalid port ${JSON.stringify(text)}`)
  return port
}

async function connect(bus: BusConnection, node: string, verb: 'dial' | 'http', open: object, signal: AbortSignal): Promise<Duplex> {
  const session = await openSession(bus, nodeSubject(`system:node:${node}`, verb), open, { signal })
  return sessionStream(session, 'opener', async () => {
    const status = await endOf(session)
    return status.status === 'Success' ? undefined : (status.message ?? 'failed')
  })
}

/** A TCP connection from a node to a pod of it, or to itself. Rejects when the node cannot be reached. */
export const dialFromNode = (bus: BusConnection, node: string, ip: string, port: number, signal: AbortSignal): Promise<Duplex> =>
  connect(bus, node, 'dial', { address: ip, port }, signal)

const at = (bus: BusConnection, scheme: Location['scheme'], node: string, ip: string, port: number): Location => ({
  scheme,
  host: hostPort(ip, port),
  dial: signal => dialFromNode(bus, node, ip, port, signal),
})

const get = <T>(registry: Registry, plural: string, namespace: string, name: string): T => {
  const stored = registry.get({ group: '', plural }, namespace, name)
  if (!stored) throw notFound({ group: '', resource: plural }, name)
  return stored.object as unknown as T
}

/** The pod's address, and the port that is given or the first that it declares. */
export async function podLocation({ info, store: { registry } }: Call, bus: BusConnection): Promise<Location> {
  const { scheme, name, port } = splitName('pod', info.name)
  await registry.fresh()
  const pod = get<Pod>(registry, 'pods', info.namespace, name)
  const ip = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? ''
  checkAddress(ip)
  const first = pod.spec.containers.find(c => (c.ports ?? []).length > 0)?.ports?.[0]?.containerPort
  const number = port === '' ? (first ?? (scheme === 'https' ? 443 : 80)) : portNumber(port)
  return at(bus, scheme, pod.spec.nodeName ?? '', ip, number)
}

/** A ready endpoint of the service's port, which is given by name or number; any at random. */
export async function serviceLocation({ info, store: { registry } }: Call, bus: BusConnection): Promise<Location> {
  const { scheme, name, port } = splitName('service', info.name)
  await registry.fresh()
  let portName = port
  if (/^\d+$/.test(port)) {
    const service = get<Service>(registry, 'services', info.namespace, name)
    const found = service.spec.ports?.find(p => p.port === Number(port))
    if (!found) throw unavailable(`no service port ${Number(port)} found for service ${JSON.stringify(name)}`)
    portName = found.name ?? ''
  }
  const { subsets = [] } = get<Endpoints>(registry, 'endpoints', info.namespace, name)
  const candidates = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.filter(p => (p.name ?? '') === portName).flatMap(p => addresses.map(address => ({ address, port: p.port }))),
  )
  // Only pods, and only at an address of their own: an endpoint can be written by who may not reach what it names.
  for (let n = candidates.length; n > 0; n--) {
    const [{ address, port: number }] = candidates.splice(Math.floor(Math.random() * n), 1) as [(typeof candidates)[0]]
    const ref = address.targetRef
    if (ref?.kind !== 'Pod' || !ref.name) continue
    const pod = registry.get({ group: '', plural: 'pods' }, ref.namespace ?? info.namespace, ref.name)?.object as unknown as Pod | undefined
    if (!pod?.spec.nodeName || !pod.status?.podIPs?.some(({ ip }) => ip === address.ip)) continue
    checkAddress(address.ip)
    return at(bus, scheme, pod.spec.nodeName, address.ip, number)
  }
  throw unavailable(`no endpoints available for service ${JSON.stringify(subsets.length === 0 ? name : info.name)}`)
}

/** Where kubelets listen; ours answers there over the bus only. */
const kubeletPort = 10250

/** The node's kubelet, or another port of the node. */
export async function nodeLocation({ info, store: { registry } }: Call, bus: BusConnection): Promise<Location> {
  const { scheme, name, port } = splitName('node', info.name)
  await registry.fresh()
  const node = get<Node>(registry, 'nodes', '', name)
  const number = port === '' ? kubeletPort : portNumber(port)
  if (number === (node.status?.daemonEndpoints?.kubeletEndpoint?.Port || kubeletPort) || number === kubeletPort)
    return { scheme: 'http', host: `${name}:${kubeletPort}`, dial: signal => connect(bus, name, 'http', {}, signal) }
  const ip = node.status?.addresses?.find(a => a.type === 'InternalIP')?.address ?? ''
  checkAddress(ip)
  return at(bus, scheme, name, ip, number)
}
