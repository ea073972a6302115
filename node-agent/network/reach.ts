/** How this node sends packets to nodes of other machines, by its flags. */
import { machineNeighbours } from '#shared/linux/neighbours.ts'
import { fitting, raiseVxlan } from '#shared/linux/vxlan.ts'
import type { NodeAgentOptions } from '../options.ts'
import { firstAddress, parseCidr } from './addresses.ts'
import type { Peers } from './peers.ts'

/** Of a node that is a machine. */
const link = 'coxvxlan'

type Options = Pick<
  NodeAgentOptions,
  'nodeName' | 'nodeIp' | 'machineAddress' | 'machineGateway' | 'machineRoutes' | 'machineRoute' | 'vxlan' | 'mtu'
> & {
  podCidr: string
}

/**
 * Makes the VXLAN link where the node has one of its own. `mtu` is that of pods' links; undefined where nothing says that it is special.
 */
export async function openReach(o: Options): Promise<{ peers: Peers; mtu: number | undefined }> {
  const machine = o.machineAddress ?? o.nodeIp
  const { nodeName: own, machineGateway: gateway, machineRoute: behind } = o
  if (gateway !== undefined || o.vxlan === undefined) return { peers: { own, behind, reach: { machine, gateway } }, mtu: o.mtu }
  const source = firstAddress(parseCidr(o.podCidr))
  const [id, port] = o.vxlan
  await raiseVxlan({ link, id, port, local: machine, address: source })
  const isNeighbour = o.machineRoutes ? machineNeighbours(machine) : () => false
  return { peers: { own, behind, source, reach: { machine, vxlan: link, isNeighbour } }, mtu: o.mtu ?? (await fitting(machine)) }
}
