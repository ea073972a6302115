/** What this node can do: found out at start, forced by flags, shown as labels of the node. */
import { findBinary } from './runtime/binaries.ts'

export interface Capabilities {
  runtime: 'oci' | 'process'
  network: 'bridge' | 'host' | 'cni'
  proxy: 'nftables' | 'userspace'
}
/** What a node has to work with. */
export interface Machine {
  platform: NodeJS.Platform
  root: boolean
  has: (program: string) => boolean
}

const thisMachine = (): Machine => ({
  platform: process.platform,
  root: process.getuid?.() === 0,
  has: program => findBinary(program) !== undefined,
})

/** What is not forced is the best that the machine has. Whether a forced one works, its own start tells. */
export function detectCapabilities(
  forced: { readonly [C in keyof Capabilities]?: Capabilities[C] | undefined },
  machine: Machine = thisMachine(),
): Capabilities {
  const privileged = machine.platform === 'linux' && machine.root
  const has = (...programs: string[]): boolean => privileged && programs.every(machine.has)
  const network = forced.network ?? (has('ip', 'nft') ? 'bridge' : 'host')
  return {
    runtime: forced.runtime ?? (has('conmon') && ['runc', 'crun', 'youki'].some(name => has(name)) ? 'oci' : 'process'),
    network,
    // On the host's network the host's packet rules are not ours to change.
    proxy: forced.proxy ?? (network !== 'host' && has('nft') ? 'nftables' : 'userspace'),
  }
}
