/**
 * The Service `kube-dns`, and its endpoints: the nodes, each of which answers for itself. And the ConfigMap `coredns`, by which people
 * change what they answer; what is wrong with it is told in its events.
 */
import { configMaps, endpointSlices, nodes, services } from '#shared/api/kinds.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { source } from '#shared/client/controller.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import { networkLabel, sharesAddress } from '#shared/scheduling/hostports.ts'
import { clusterDnsName, clusterDnsNamespace, clusterDnsPort } from '#shared/network/clusterdns.ts'
import { corefileKey, corefileName, defaultCorefile, parseCorefile } from '#shared/network/corefile.ts'
import type { NewController } from './context.ts'

/** As many endpoints as a slice may have. */
const sliceSize = 1000
const manager = 'cluster-dns-controller.coxswain.io'
const labels = {
  'kubernetes.io/service-name': clusterDnsName,
  'endpointslice.kubernetes.io/managed-by': manager,
}

const service = (clusterIP: string): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: clusterDnsName,
    namespace: clusterDnsNamespace,
    labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
  },
  spec: {
    clusterIP,
    // A node that can ask can answer.
    internalTrafficPolicy: 'Local',
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: clusterDnsPort },
      { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: clusterDnsPort },
    ],
  } as Service['spec'],
})

const defaultConfigMap = (): ConfigMap =>
  ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: corefileName, namespace: clusterDnsNamespace },
    data: { [corefileKey]: defaultCorefile('cluster.local') },
  }) as ConfigMap

/** Nodes whose pods have networks of their own answer. */
const answers = (node: Node): boolean => node.metadata.labels?.[networkLabel] !== undefined && !sharesAddress(node)
const addressOf = ({ status }: Node): string | undefined => status?.addresses?.find(a => a.type === 'InternalIP')?.address

function endpointOf(node: Node): Endpoint[] {
  const ip = addressOf(node)
  const ready = node.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false
  const { name } = node.metadata
  return ip && name ? [{ addresses: [ip], nodeName: name, conditions: { ready, serving: ready, terminating: false } }] : []
}

/** The slices that there should be, by name. */
export function wantedSlices(all: readonly Node[]): Map<string, EndpointSlice> {
  const endpoints = all
    .filter(answers)
    .sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
    .flatMap(endpointOf)
  const slices = new Map<string, EndpointSlice>()
  for (let at = 0; at === 0 || at < endpoints.length; at += sliceSize) {
    const name = `${clusterDnsName}-nodes-${at / sliceSize}`
    slices.set(name, {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: clusterDnsNamespace, labels },
      addressType: 'IPv4',
      endpoints: endpoints.slice(at, at + sliceSize),
      ports: [
        { name: 'dns', port: clusterDnsPort, protocol: 'UDP' },
        { name: 'dns-tcp', port: clusterDnsPort, protocol: 'TCP' },
      ],
    } as EndpointSlice)
  }
  return slices
}

/** What a slice says of its nodes. */
const shown = ({ endpoints = [] }: EndpointSlice): string =>
  JSON.stringify(endpoints.map(e => [e.nodeName, e.addresses, e.conditions?.ready]))
/** What of a node decides: a heartbeat changes none of it. */
const seen = (node: Node): string => JSON.stringify([answers(node), endpointOf(node)])
const only = clusterDnsName

export const clusterDnsController: NewController = ctx => {
  const clusterIP = ctx.settings.clusterDns
  if (!clusterIP) return []
  const known = ctx.informer(nodes)
  const slices = ctx.informer(endpointSlices)
  const existing = ctx.informer(services)
  const corefiles = ctx.informer(configMaps, { name: corefileName })
  const recorder = ctx.recorder('cluster-dns')
  /** Of the ConfigMap whose events were recorded. */
  let told = ''
  function tell(of: ConfigMap): void {
    const version = `${of.metadata.uid} ${JSON.stringify(of.data)}`
    if (version === told) return
    told = version
    try {
      for (const sentence of parseCorefile(of.data?.[corefileKey] ?? '', of.data).ignored)
        recorder.event(of, 'Warning', 'CorefileNotHonored', sentence)
    } catch (e) {
      recorder.event(of, 'Warning', 'InvalidCorefile', `${(e as Error).message}; what was before stays in force`)
    }
  }
  const isOurs = ({ metadata }: EndpointSlice): boolean =>
    metadata.namespace === clusterDnsNamespace && metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === manager
  return {
    name: 'cluster-dns-controller',
    client: ctx.as('cluster-dns-controller'),
    sources: [
      source(known, ({ object, previous, type }) => (type === 'MODIFIED' && previous && seen(previous) === seen(object) ? [] : [only])),
      source(slices, ({ object }) => (isOurs(object) ? [only] : [])),
      source(corefiles, () => [only]),
      source(existing, ({ object, type }) =>
        type === 'DELETED' && object.metadata.name === only && object.metadata.namespace === clusterDnsNamespace ? [only] : [],
      ),
    ],
    // Without any node there is the Service all the same.
    start: queue => queue.add(only),
    async reconcile(_, client) {
      if (!existing.get(clusterDnsNamespace, clusterDnsName))
        await client.create(services, clusterDnsNamespace, service(clusterIP)).catch((e: unknown) => {
          if (!isAlreadyExists(e)) throw e
        })
      const corefile = corefiles.get(clusterDnsNamespace, corefileName)
      if (corefile) tell(corefile)
      else
        await client.create(configMaps, clusterDnsNamespace, defaultConfigMap()).catch((e: unknown) => {
          if (!isAlreadyExists(e)) throw e
        })
      const wanted = wantedSlices(known.list())
      for (const [name, slice] of wanted) {
        const now = slices.get(clusterDnsNamespace, name)
        if (!now) await client.create(endpointSlices, clusterDnsNamespace, slice)
        else if (shown(now) !== shown(slice))
          await client.update(endpointSlices, { ...now, endpoints: slice.endpoints, ports: slice.ports })
      }
      for (const { metadata } of slices.list(clusterDnsNamespace).filter(isOurs))
        if (!wanted.has(metadata.name ?? '')) await client.delete(endpointSlices, clusterDnsNamespace, metadata.name ?? '')
    },
  }
}
