/** What the local cloud consists of: a file that whoever runs the nodes writes (`cox up`), and replaces when something happens to one. */
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import * as z from 'zod'
import type { Logger } from '#shared/component/log.ts'

const instance = z.object({
  name: z.string(),
  zone: z.string(),
  type: z.string(),
  /** False: its processes are gone. */
  running: z.boolean(),
})
export const cloudConfig = z.object({
  region: z.string(),
  /** Every node there is; absent when nobody knows: every node that asks is one, then, and in this zone. */
  instances: z.array(instance).optional(),
  /** Instances are another machine's business, which is away: none of its nodes is gone for good. */
  deputy: z.literal(true).optional(),
  zone: z.string(),
  type: z.string(),
  /**
   * How Services of type LoadBalancer are reached. `pool`: an address of their own from this range; with `device`, the machine has a route
   * to each through a node, by this link. With `range6`, of Services with IPv6 the address with the same number there, too. `nodes`: at the
   * addresses of the nodes, whose ports they share.
   */
  loadBalancers: z.discriminatedUnion('by', [
    z.object({ by: z.literal('pool'), range: z.string(), range6: z.string().optional(), device: z.string().optional() }),
    z.object({ by: z.literal('nodes') }),
  ]),
  /** What nodes and pods of this machine send to the outside comes by this bridge: all else than this range. */
  egress: z.object({ bridge: z.string(), cluster: z.string() }).optional(),
  /**
   * How the machine reaches nodes of other machines: its address for those, its own in the pods' network, and a VXLAN link that it makes.
   */
  machine: z
    .object({
      address: z.string(),
      inside: z.string(),
      vxlan: z.object({ link: z.string(), id: z.number(), port: z.number() }),
      /** Whether those of the same segment are sent packets as they are. */
      routes: z.boolean(),
    })
    .optional(),
})
/** The machine's table of egress addresses; `cox down` removes it. */
export const egressTable = (bridge: string): string => `coxswain-egress-${bridge}`
/** That of connections through load balancers, and where rules for their packets stand among the machine's; `cox down` removes both. */
export const connectionsTable = (bridge: string): string => `coxswain-balancers-${bridge}`
export const connectionsPriority = 12_300
export type CloudConfig = z.infer<typeof cloudConfig>
export type LocalInstance = z.infer<typeof instance>

export const readConfig = async (file: string): Promise<CloudConfig> => cloudConfig.parse(JSON.parse(await readFile(file, 'utf8')))

/** Follows the file, which is replaced by renaming. What is wrong with a new one is logged; the former stays in force. */
export function followConfig(file: string, changed: (config: CloudConfig) => void, log: Logger, signal: AbortSignal): void {
  const watcher = watch(path.dirname(file), { signal }, (_, name) => {
    if (name !== path.basename(file)) return
    readConfig(file).then(changed, (e: Error) => log.warn({ file, err: e.message }, 'the configuration of the cloud cannot be read'))
  })
  watcher.on('error', e => signal.aborted || log.error({ file, err: e.message }, 'the configuration of the cloud is not followed any more'))
}
