/** What the cluster's names stand for now: Services and their endpoints, by name and by address. */
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Informer } from '#shared/client/informer.ts'

export interface EndpointAddress {
  readonly ip: string
  /** Its name below the Service's: the host name, or the address with dashes. */
  readonly host: string
}
export interface EndpointPort {
  readonly name: string
  readonly protocol: string
  readonly port: number
}
/** Endpoints that have the same ports. */
export interface EndpointGroup {
  readonly addresses: readonly EndpointAddress[]
  readonly ports: readonly EndpointPort[]
}

export interface View {
  service(namespace: string, name: string): Service | undefined
  hasNamespace(namespace: string): boolean
  /** The ready ones of a Service. */
  endpoints(namespace: string, name: string): readonly EndpointGroup[]
  /** Names below `svc` that an address stands for: `web.default`, `host.web.default`. */
  namesOf(ip: string): readonly string[]
}

const serviceName = 'kubernetes.io/service-name'
const byService = 'dns-service'
const byAddress = 'dns-address'
const byNamespace = 'dns-namespace'

export const isHeadless = (service: Service): boolean => service.spec?.clusterIP === 'None'
export const clusterIPs = ({ spec }: Service): readonly string[] =>
  (spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? '']).filter(ip => ip !== '' && ip !== 'None')

const hostOf = (ip: string, hostname: string | undefined): string => (hostname ? hostname.toLowerCase() : ip.replace(/[.:]/g, '-'))

const serviceOf = ({ metadata: { namespace, labels } }: EndpointSlice): string[] =>
  labels?.[serviceName] ? [`${namespace}/${labels[serviceName]}`] : []

function groupOf({ endpoints = [], ports = [], addressType }: EndpointSlice): EndpointGroup {
  const ready = addressType === 'FQDN' ? [] : endpoints.filter(e => e.conditions?.ready !== false)
  return {
    addresses: ready.flatMap(e => e.addresses.slice(0, 1).map(ip => ({ ip, host: hostOf(ip, e.hostname) }))),
    ports: ports.flatMap(({ name = '', protocol = 'TCP', port }) => (port === undefined ? [] : [{ name, protocol, port }])),
  }
}

/** Calls `changed` after every change; the informers' indexes are declared here. */
export function viewOf(services: Informer<Service>, slices: Informer<EndpointSlice>, changed: () => void): View {
  services.addIndex(byAddress, s => [...clusterIPs(s)])
  services.addIndex(byNamespace, s => [s.metadata.namespace ?? ''])
  slices.addIndex(byService, serviceOf)
  slices.addIndex(byAddress, s => groupOf(s).addresses.map(a => a.ip))
  services.subscribe(changed)
  slices.subscribe(changed)
  return {
    service: (namespace, name) => services.get(namespace, name),
    hasNamespace: namespace => services.byIndex(byNamespace, namespace).length > 0,
    endpoints: (namespace, name) => slices.byIndex(byService, `${namespace}/${name}`).map(groupOf),
    namesOf(ip) {
      const own = services.byIndex(byAddress, ip).map(s => `${s.metadata.name}.${s.metadata.namespace}`)
      const below = slices.byIndex(byAddress, ip).flatMap(slice => {
        const [owner] = serviceOf(slice)
        const [namespace = '', name = ''] = owner?.split('/') ?? []
        const service = services.get(namespace, name)
        if (!service || !isHeadless(service)) return []
        return groupOf(slice).addresses.flatMap(a => (a.ip === ip ? [`${a.host}.${name}.${namespace}`] : []))
      })
      return [...new Set([...own, ...below])]
    },
  }
}
