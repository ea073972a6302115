/** The machine's routes to the pods of nodes on other machines: its own nodes send to it what is for those. */
import type { Node } from '#shared/api/core/node.ts'
import { machineNeighbours } from '#shared/linux/neighbours.ts'
import { setRoutes } from '#shared/linux/routes.ts'
import { raiseVxlan } from '#shared/linux/vxlan.ts'
import { machineOf, routesToNodes, type Reach } from '#shared/network/machine.ts'
import type { Routes } from '../cloud.ts'
import type { CloudConfig } from './config.ts'

/** Marks our routes in the kernel's table: a number that no routing daemon uses. */
const protocol = '122'

/** How the machine sends packets to nodes of others. */
export function reachOf({ address, vxlan, routes }: NonNullable<CloudConfig['machine']>): Reach {
  return { machine: address, vxlan: vxlan.link, isNeighbour: routes ? machineNeighbours(address) : () => false }
}

/** Makes the VXLAN link. Rejects in iproute2's words, as where the kernel has none. */
export async function machineRoutes(machine: NonNullable<CloudConfig['machine']>, isInstance: (node: Node) => boolean): Promise<Routes> {
  const { address, inside, vxlan } = machine
  const { link } = vxlan
  await raiseVxlan({ ...vxlan, local: address, address: inside })
  const reach = reachOf(machine)
  const isHere = (node: Node): boolean => isInstance(node) || machineOf(node) === address
  return {
    async ensureRoutes(nodes) {
      const wanted = routesToNodes(nodes, reach, isHere)
      await setRoutes(wanted, { protocol, source: inside }, link)
      return nodes.flatMap(n => (n.spec.podCIDR && wanted.has(n.spec.podCIDR) ? [n.metadata.name ?? ''] : []))
    },
  }
}
