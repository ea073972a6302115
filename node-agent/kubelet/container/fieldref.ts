/** The downward API: fields of the pod (`fieldRef`) and resources of its containers (`resourceFieldRef`), as text. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ResourceFieldSelector } from '#shared/api/core/podspec/env.ts'
import { quantityFloat } from '#shared/machinery/quantity.ts'
import { findContainer } from '../pod/containers.ts'

/** What the node adds to a pod's own fields. */
export interface NodeFacts {
  hostIP: string
  podIP: string
  /** All of them, when there are several, those ones first. */
  hostIPs?: readonly string[]
  podIPs?: readonly string[]
  allocatable: { [resource: string]: string }
  /** The kubelet's state directory. */
  rootDir?: string
}

const quote = (text: string): string => JSON.stringify(text)
/** `key="value"` lines, sorted, as a downward API volume shows a whole map. */
const formatMap = (m: { [key: string]: string } | undefined): string =>
  Object.entries(m ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${k}=${quote(v)}`)
    .join('\n')

/** Throws with upstream's words when the path is not one of the supported. */
export function fieldValue(pod: Pod, path: string, facts: NodeFacts): string {
  const { metadata, spec } = pod
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path)
  if (keyed) return (keyed[1] === 'labels' ? metadata.labels : metadata.annotations)?.[keyed[2]!] ?? ''
  switch (path) {
    case 'metadata.name':
      return metadata.name ?? ''
    case 'metadata.namespace':
      return metadata.namespace ?? ''
    case 'metadata.uid':
      return metadata.uid ?? ''
    case 'metadata.labels':
      return formatMap(metadata.labels)
    case 'metadata.annotations':
      return formatMap(metadata.annotations)
    case 'spec.nodeName':
      return spec.nodeName ?? ''
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? ''
    case 'status.hostIP':
      return facts.hostIP
    case 'status.hostIPs':
      return facts.hostIPs?.join(',') ?? facts.hostIP
    case 'status.podIP':
      return facts.podIP
    case 'status.podIPs':
      return facts.podIPs?.join(',') ?? facts.podIP
    default:
      throw new Error(`unsupported fieldPath: ${path}`)
  }
}

/** A limit or request of a container, divided and rounded up; an unset limit is what the node can give. */
export function resourceValue(pod: Pod, ref: ResourceFieldSelector, ownContainer: string, facts: NodeFacts): string {
  const name = ref.containerName || ownContainer
  const container = findContainer(pod, name)?.container
  if (!container) throw new Error(`container ${name} not found`)
  const [kind, ...rest] = ref.resource.split('.')
  const resource = rest.join('.')
  const { requests, limits } = container.resources ?? {}
  const limit = limits?.[resource] ?? facts.allocatable[resource] ?? '0'
  if (kind !== 'limits' && kind !== 'requests') throw new Error(`unsupported container resource : ${ref.resource}`)
  const value = kind === 'limits' ? limit : (requests?.[resource] ?? limits?.[resource] ?? '0')
  const divisor = ref.divisor && quantityFloat(ref.divisor) > 0 ? quantityFloat(ref.divisor) : 1
  return String(Math.ceil(Number((quantityFloat(value) / divisor).toFixed(9))))
}
