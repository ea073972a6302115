/**
 * The Service of a Gateway, which gives it its addresses: of type LoadBalancer, beside the proxy, with the ports of its listeners. Each
 * leads to a port of the proxy that is this Gateway's alone: the number of the Service's node port, which the API server gives to one.
 */
import { createHash } from 'node:crypto'
import type { Service } from '#shared/api/core/service.ts'
import type { Gateway } from './types.ts'

const namespace = 'kube-system'
const nameLabel = 'gateway.networking.k8s.io/gateway-name'
const namespaceLabel = 'gateway.networking.k8s.io/gateway-namespace'

/** Of the Service: by the Gateway's namespace and name. */
export function serviceKey({ metadata }: Gateway): { namespace: string; name: string } {
  const { namespace: at = '', name = '' } = metadata
  const hash = createHash('sha256').update(`${at}/${name}`).digest('hex').slice(0, 8)
  return { namespace, name: `gateway-${name.replaceAll('.', '-').slice(0, 40)}-${hash}` }
}
export const isOfGateway = ({ metadata }: Service): boolean =>
  metadata.namespace === namespace && metadata.labels?.[namespaceLabel] !== undefined

/** What is applied: `found` is the Service as it is there. */
export function gatewayService(gateway: Gateway, found: Service | undefined, selector: Record<string, string>) {
  const { listeners, addresses = [], infrastructure } = gateway.spec
  const { namespace: at = '', name = '' } = gateway.metadata
  const address = addresses.find(a => (a.type ?? 'IPAddress') === 'IPAddress' && a.value)?.value
  const ports = [...new Set(listeners.filter(l => l.protocol !== 'UDP').map(l => l.port))].sort((a, b) => a - b)
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...serviceKey(gateway),
      labels: { ...infrastructure?.labels, [nameLabel]: name.slice(0, 63).replace(/[^a-z0-9]+$/, ''), [namespaceLabel]: at },
      annotations: { ...infrastructure?.annotations },
    },
    spec: {
      type: 'LoadBalancer',
      // The proxy sees who asks.
      externalTrafficPolicy: 'Local',
      selector,
      ...(address ? { loadBalancerIP: address } : {}),
      ports: ports.map(port => ({ name: `port-${port}`, port, protocol: 'TCP', targetPort: nodePort(found, port) ?? port })),
    },
  }
}
const portOf = (service: Service | undefined, port: number) => service?.spec.ports?.find(p => p.port === port)
const nodePort = (service: Service | undefined, port: number): number | undefined => portOf(service, port)?.nodePort

/** Where a Gateway is. */
export interface GatewayPlace {
  addresses: readonly { type: string; value: string }[]
  /** The proxy's port for one of its own; undefined until there is one. */
  inner(port: number): number | undefined
}
export function placeOf(gateway: Gateway, service: (namespace: string, name: string) => Service | undefined): GatewayPlace {
  const { namespace, name } = serviceKey(gateway)
  const found = service(namespace, name)
  const points = found?.status?.loadBalancer?.ingress ?? []
  return {
    addresses: points.flatMap(({ ip, hostname }) =>
      ip ? [{ type: 'IPAddress', value: ip }] : hostname ? [{ type: 'Hostname', value: hostname }] : [],
    ),
    inner: port => {
      const own = portOf(found, port)
      return own?.nodePort !== undefined && own.targetPort === own.nodePort ? own.nodePort : undefined
    },
  }
}
