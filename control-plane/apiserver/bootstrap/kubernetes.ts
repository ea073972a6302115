/**
 * The `kubernetes` Service and who is behind it: every API server keeps a Lease in kube-system, and each writes the addresses of all that
 * are alive into Endpoints and EndpointSlice.
 */
import { createHash, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Endpoints } from '#shared/api/core/endpoints.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { ipFamily } from '#shared/machinery/ip.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatMicroTime } from '#shared/machinery/time.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { toStored } from '../objects/body.ts'
import { deleteObject } from '../objects/delete.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { updateObject } from '../objects/update.ts'
import { serviceRanges } from '../serviceips/ranges.ts'
import { ensure, self } from './ensure.ts'
import type { BootstrapParts } from './parts.ts'

/** An address is gone after `leaseSeconds` without a renewal, seen at the next round. Upstream: 15 s and 10 s. */
const renewMs = 2_000
const leaseSeconds = 6
const addressAnnotation = 'coxswain.dev/advertise-address'
const identityLabels = { 'apiserver.kubernetes.io/identity': 'kube-apiserver' }

interface Address {
  ip: string
  port: number
}

/** The address that others reach this server at; undefined when it serves loopback only, which nobody else can use. */
export function advertised({ options, port }: BootstrapParts): Address | undefined {
  const ip = options.advertiseAddress ?? options.bindAddress.find(a => !/^(0\.0\.0\.0|::|127\.|::1$)/.test(a))
  return ip === undefined || /^(127\.|::1$)/.test(ip) ? undefined : { ip, port }
}

export async function kubernetesService(parts: BootstrapParts): Promise<void> {
  const { store, endpoints, options, port } = parts
  const range = serviceRanges(options.serviceClusterIpRange)[0]!
  const service: Partial<Service> & KubeObject = {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      type: 'ClusterIP',
      clusterIP: range.at(0),
      clusterIPs: [range.at(0)],
      ipFamilies: [range.family],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: options.kubernetesServicePort, protocol: 'TCP', targetPort: port }],
    },
  }
  if (!store.registry.get({ group: '', plural: 'services' }, 'default', 'kubernetes'))
    await ensure(store, endpoints.get('/v1/services')!, 'default', service)
}

/** Keeps this server's lease and the endpoints. Returns how to stop: the lease goes, so that the others take the address out. */
export function keepEndpoints(parts: BootstrapParts): () => Promise<void> {
  const own = advertised(parts)
  if (!own) return async () => {}
  const { store, endpoints, options, log } = parts
  const leases = endpoints.get('coordination.k8s.io/v1/leases')!
  const text = `${own.ip}:${own.port}`
  // Several may share their advertised address; no two listen on the same addresses all over.
  const name = `apiserver-${createHash('sha256')
    .update([text, ...options.bindAddress].join())
    .digest('hex')
    .slice(0, 26)}`
  const holderIdentity = `${name}_${randomUUID()}`
  let stopped = false

  const renew = async (): Promise<void> => {
    const lease = (current: KubeObject | undefined): Maybe<KubeObject> => {
      const fresh = { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1', metadata: { name, namespace: 'kube-system' } }
      const next = structuredClone(current ?? fresh) as Lease & KubeObject
      next.metadata.labels = { ...next.metadata.labels, ...identityLabels, 'kubernetes.io/hostname': hostname().slice(0, 63) }
      next.metadata.annotations = { ...next.metadata.annotations, [addressAnnotation]: text }
      next.spec = { ...next.spec, holderIdentity, leaseDurationSeconds: leaseSeconds, renewTime: formatMicroTime() }
      return toStored(leases, next)
    }
    await updateObject(store, leases, 'kube-system', name, lease, self, 'always')
  }
  // When each lease was seen to change, on our own clock: those of other machines do not matter, except that one which looks old at first
  // has to change to count.
  let seen = new Map<string, { version: number; at: number }>()
  const alive = (): Address[] => {
    const before = seen
    const now = performance.now()
    seen = new Map()
    return store.registry.list(leases.table, 'kube-system').flatMap(stored => {
      const { metadata, spec } = stored.object as Lease & KubeObject
      const address = metadata.annotations?.[addressAnnotation]
      if (address === undefined || metadata.labels?.['apiserver.kubernetes.io/identity'] !== 'kube-apiserver') return []
      const known = before.get(stored.name)
      const age = known ? 0 : Math.max(0, Date.now() - Date.parse(spec?.renewTime ?? '')) || 0
      const observed = known?.version === stored.version ? known : { version: stored.version, at: now - age }
      seen.set(stored.name, observed)
      if (observed.at + (spec?.leaseDurationSeconds ?? leaseSeconds) * 1000 < now) return []
      const at = address.lastIndexOf(':')
      return [{ ip: address.slice(0, at), port: Number(address.slice(at + 1)) }]
    })
  }
  const round = async (): Promise<void> => {
    try {
      await renew()
      await publish(parts, alive())
    } catch (e) {
      log.warn({ err: e }, 'publishing the endpoints of the API servers failed')
    }
  }
  let running = round()
  const timer = setInterval(() => {
    running = running.then(() => (stopped ? undefined : round()))
  }, renewMs)
  timer.unref()
  return async () => {
    stopped = true
    clearInterval(timer)
    // A registry that is away must not hold up the end.
    const leave = running
      .then(() => deleteObject(store, leases, 'kube-system', name, {}, self))
      .then(() => publish(parts, alive()))
      .catch((e: unknown) => (isNotFound(e) ? undefined : log.debug({ err: e }, 'the lease stays until it expires')))
    await Promise.race([leave, new Promise(resolve => setTimeout(resolve, 1000).unref())])
  }
}

/** By port: servers on one machine may differ in nothing else. */
function grouped(addresses: readonly Address[]): [port: number, ips: string[]][] {
  const ports = new Map<number, string[]>()
  for (const a of addresses) ports.set(a.port, [...(ports.get(a.port) ?? []), a.ip])
  return [...ports].sort(([a], [b]) => a - b).map(([port, ips]) => [port, [...new Set(ips)].sort()])
}

async function publish(parts: BootstrapParts, addresses: readonly Address[]): Promise<void> {
  if (addresses.length === 0) return
  const groups = grouped(addresses)
  const endpoints: Partial<Endpoints> & KubeObject = {
    kind: 'Endpoints',
    apiVersion: 'v1',
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: groups.map(([port, ips]) => ({ addresses: ips.map(ip => ({ ip })), ports: [{ name: 'https', port, protocol: 'TCP' }] })),
  }
  await write(parts, '/v1/endpoints', endpoints)
  const slices = groups.map(([port, ips], i): Partial<EndpointSlice> & KubeObject => ({
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: {
      name: i === 0 ? 'kubernetes' : `kubernetes-${port}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    addressType: ipFamily(ips[0]!) ?? 'IPv4',
    endpoints: ips.map(ip => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  }))
  for (const slice of slices) await write(parts, 'discovery.k8s.io/v1/endpointslices', slice)
  const sliceEndpoint = parts.endpoints.get('discovery.k8s.io/v1/endpointslices')!
  const names = new Set(slices.map(s => s.metadata.name))
  for (const stored of parts.store.registry.list(sliceEndpoint.table, 'default')) {
    if (/^kubernetes-\d+$/.test(stored.name) && !names.has(stored.name))
      await deleteObject(parts.store, sliceEndpoint, 'default', stored.name, {}, self)
  }
}

/** Writes an object whole, keeping the identity of what is there. Writes nothing when nothing changes. */
async function write(parts: BootstrapParts, key: string, object: KubeObject): Promise<void> {
  const endpoint: Endpoint = parts.endpoints.get(key)!
  const change = (current: KubeObject | undefined): Maybe<KubeObject> => {
    const next = structuredClone(object)
    if (current) next.metadata = { ...structuredClone(current.metadata), labels: { ...current.metadata.labels, ...object.metadata.labels } }
    return toStored(endpoint, next)
  }
  await updateObject(parts.store, endpoint, 'default', object.metadata.name!, change, self, 'always')
}
