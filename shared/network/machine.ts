/** On which machine a node is, and how pods of two machines reach each other. */
import type { Node } from '../api/core/node.ts'
import type { Hop } from '../linux/routes.ts'

/** Of a node that shares its machine with others: where other machines reach that. Elsewhere a node is a machine. */
export const machineAnnotation = 'coxswain.io/machine-address'

export const internalIP = ({ status }: Pick<Node, 'status'>): string | undefined =>
  status?.addresses?.find(a => a.type === 'InternalIP')?.address

export const machineOf = (node: Node): string | undefined => node.metadata.annotations?.[machineAnnotation] ?? internalIP(node)

/** How a machine, or a node that shares one, sends packets to others. */
export interface Reach {
  /** The address of the machine. */
  readonly machine: string
  /** What leads to all other machines: for nodes that share one. */
  readonly gateway?: string | undefined
  /** The VXLAN link to other machines. */
  readonly vxlan?: string | undefined
  /** Machines of the same segment, which need no VXLAN. */
  readonly isNeighbour?: (machine: string) => boolean
}

/** The way to a node, or to what is behind a machine; undefined when nothing is known. */
export function hopTo(reach: Reach, machine: string, node: string): Hop {
  if (machine === reach.machine) return { via: node }
  if (reach.gateway !== undefined) return { via: reach.gateway }
  if (reach.vxlan === undefined) return { via: node }
  return reach.isNeighbour?.(machine) ? { via: machine } : { via: machine, vxlan: reach.vxlan }
}

/** Pod range to the way there, for every node but those that `ours` names. */
export function routesToNodes(nodes: readonly Node[], reach: Reach, isOurs: (node: Node) => boolean): Map<string, Hop> {
  return new Map(
    nodes.flatMap(node => {
      const [ip, machine] = [internalIP(node), machineOf(node)]
      return isOurs(node) || !ip || !machine || !node.spec.podCIDR ? [] : [[node.spec.podCIDR, hopTo(reach, machine, ip)] as const]
    }),
  )
}
