/** Which addresses are on a machine's own segment. */
import { BlockList } from 'node:net'
import { networkInterfaces } from 'node:os'

/** Whether an address is in the range that the machine's link has with `own`. */
export function machineNeighbours(own: string): (address: string) => boolean {
  return address => {
    const cidr = Object.values(networkInterfaces())
      .flatMap(list => list ?? [])
      .find(i => i.address === own)?.cidr
    const [, prefix] = cidr?.split('/') ?? []
    if (prefix === undefined) return false
    const segment = new BlockList()
    segment.addSubnet(own, Number(prefix))
    return segment.check(address)
  }
}
