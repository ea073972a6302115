/** The local cloud as its controller manager knows it: cloud.json, written whenever the nodes that run change. */
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import type { CloudConfig } from '../cloud-controller-manager/local/config.ts'
import { writeAtomically, type Addresses, type Cluster, type NodeRecord, type StateDir } from './state.ts'

const region = 'local'
/** The first zone is `local-a`. */
const zone = (n: number): string => `${region}-${String.fromCharCode('a'.charCodeAt(0) + n)}`
/** Every node is a part of this machine, and may use all of it: `2cpu-8gi`. */
const instanceType = (): string => `${availableParallelism()}cpu-${Math.round(totalmem() / 2 ** 30)}gi`

const zoneOf = ({ index }: NodeRecord, zones: number): string => zone((index - 1) % zones)

/** Writes it when it has changed. `runs` says whether a node's processes do. */
export function writeCloud(dir: StateDir, at: Addresses, { nodes, zones = 1 }: Cluster, runs: (name: string) => boolean): void {
  const type = instanceType()
  const config: CloudConfig = {
    region,
    zone: zone(0),
    type,
    instances: nodes.map(node => ({ name: node.name, zone: zoneOf(node, zones), type, running: runs(node.name) })),
    loadBalancers: {
      by: 'pool',
      range: at.balancers,
      ...(at.ipv6 ? { range6: at.ipv6.balancers } : {}),
      ...(at.onHost ? {} : { device: at.bridge }),
    },
    ...(at.onHost ? {} : { egress: { bridge: at.bridge, cluster: at.all } }),
    ...(at.listen
      ? {
          machine: {
            address: at.listen.address,
            inside: at.host,
            vxlan: { ...at.vxlan, link: at.vxlanLink },
            routes: at.listen.routes ?? false,
          },
        }
      : {}),
  }
  write(dir, config)
}

/** The same on a machine that was added to the control plane of another one's cluster: it gives Services addresses, and announces none. */
export const writeDeputyCloud = (dir: StateDir, { balancers }: Addresses): void =>
  write(dir, { region, zone: zone(0), type: instanceType(), instances: [], deputy: true, loadBalancers: { by: 'pool', range: balancers } })

/** The same where nobody knows which nodes there are, and the control plane has no way to give them addresses. */
export const writeContainerCloud = (dir: StateDir): void =>
  write(dir, { region, zone: zone(0), type: instanceType(), loadBalancers: { by: 'nodes' } }, 0o644)

function write(dir: StateDir, config: CloudConfig, mode?: number): void {
  const text = `${JSON.stringify(config, null, 2)}\n`
  if (!existsSync(dir.cloud) || readFileSync(dir.cloud, 'utf8') !== text) writeAtomically(dir.cloud, text, mode)
}
