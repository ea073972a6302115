/**
 * `cox link ...`: a node's cable cut, lossy or slow, for the tests of users and ours. Losses are rules on the node's link (dropped in
 * silence, as on a bad line: nobody sees a carrier go); delay is a process in the line, since few kernels have netem. `run/NODE.link` tells
 * what was done to a link.
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import * as z from 'zod'
import { nft } from '#shared/linux/nft.ts'
import { bundles, nodeArgs, processEnv } from './components.ts'
import { acceptBridged, ip } from './network.ts'
import { nodeProcess } from './node.ts'
import { isAlive, kill, readRecord, recordOf, recordSchema, untilGone } from './process.ts'
import { addressesOf, requireCluster, writeAtomically, type Addresses, type NodeRecord, type StateDir } from './state.ts'

const faultSchema = z.object({
  /** Percent of the packets that are lost. */
  loss: z.number().min(0).max(100).default(0),
  /** What a packet takes longer, each way that `direction` names, ms. */
  delayMs: z.number().int().min(0).max(10_000).default(0),
  /** As the node sees it: what comes in, what goes out. */
  direction: z.enum(['in', 'out', 'both']).default('both'),
})
export type LinkFault = z.output<typeof faultSchema>
const stateSchema = faultSchema.extend({ relay: recordSchema.optional() })

const stateFile = (dir: StateDir, node: string): string => path.join(dir.run, `${node}.link`)
const tableOf = (at: Addresses, index: number): string => `netdev ${at.link(index)}`

function readState(dir: StateDir, node: string): z.output<typeof stateSchema> | undefined {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(stateFile(dir, node), 'utf8')))
  } catch {
    return undefined
  }
}

/** What was done to a node's link; undefined when it is whole. */
export const linkFault = (dir: StateDir, node: string): LinkFault | undefined => readState(dir, node)

/** The process that delays a link's packets, where there is one. */
export function linkRelay(dir: StateDir, node: string): number | undefined {
  const relay = readState(dir, node)?.relay
  return isAlive(relay) ? relay.pid : undefined
}

function indexOf(dir: StateDir, node: string): { at: Addresses; index: number } {
  const cluster = requireCluster(dir)
  const found = cluster.nodes.find(n => n.name === node)
  if (!found) throw new Error(`there is no node "${node}"; there are: ${cluster.nodes.map(n => n.name).join(', ')}`)
  if (cluster.host) throw new Error("the node of this cluster uses the machine's own network: it has no link")
  return { at: addressesOf(cluster), index: found.index }
}

/** Loses every packet of a node's link until it is healed: in both directions, or in one. */
export const cutLink = (dir: StateDir, node: string, direction: LinkFault['direction'] = 'both'): Promise<void> =>
  degradeLink(dir, node, { loss: 100, direction })

/** Makes a node's link lose and delay packets, instead of what was done to it before. Throws when the node is dead: it has no link. */
export async function degradeLink(dir: StateDir, node: string, fault: Partial<LinkFault>): Promise<void> {
  const { at, index } = indexOf(dir, node)
  const { loss, delayMs, direction } = faultSchema.parse(fault)
  await healLink(dir, node)
  if (!isAlive(readRecord(dir, nodeProcess(node)))) throw new Error(`node "${node}" is dead; it has no link`)
  const write = (relay?: z.output<typeof recordSchema>): void =>
    writeAtomically(stateFile(dir, node), JSON.stringify({ loss, delayMs, direction, relay }))
  // First of all, so that whoever heals or stops finds it, whatever happens in between.
  write()
  const link = at.link(index)
  // What the machine sends on its end of the link is what comes in to the node.
  const hooks = { in: 'egress', out: 'ingress' }
  const chains = Object.entries(hooks).filter(([way]) => direction === 'both' || direction === way)
  const lose = loss >= 100 ? 'drop' : `numgen random mod 10000 < ${Math.round(loss * 100)} drop`
  if (loss > 0)
    await nft(
      `table ${tableOf(at, index)} {\n${chains.map(([way, hook]) => `  chain ${way} { type filter hook ${hook} device "${link}" priority 0; ${lose}; }`).join('\n')}\n}\n`,
    )
  if (delayMs > 0)
    await delayLink(dir, link, at.bridge, { in: direction === 'out' ? 0 : delayMs, out: direction === 'in' ? 0 : delayMs }, write)
}

/** perl opens the two ends, which takes an ioctl that Node does not have; they are the relay's descriptors 3 and 4. */
const openEnds =
  '$^F = 9; for my $end (splice @ARGV, 0, 2) { open(my $f, "+<", "/dev/net/tun") or die "/dev/net/tun: $!\\n"; ioctl($f, 0x400454ca, pack("a16s", $end, 0x1002)) or die "$end: $!\\n"; push @ends, $f } exec @ARGV or die "$ARGV[0]: $!\\n"'

/** Puts the relay into the line: link - bridge of its own - end a - relay - end b - bridge of the cluster. */
async function delayLink(
  dir: StateDir,
  link: string,
  bridge: string,
  ms: { in: number; out: number },
  started: (relay: z.output<typeof recordSchema>) => void,
): Promise<void> {
  const [near, a, b] = [`${link}d`, `${link}a`, `${link}b`]
  const log = openSync(path.join(dir.logs, 'link.log'), 'a', 0o600)
  const relay = spawn(
    'perl',
    ['-e', openEnds, a, b, process.execPath, ...nodeArgs(), path.join(bundles, 'link-relay.js'), String(ms.out), String(ms.in), dir.root],
    { stdio: ['ignore', log, log], detached: true, env: { ...process.env, ...processEnv } },
  )
  closeSync(log)
  relay.unref()
  const failed = new Promise<never>((_, reject) => {
    relay.once('error', e => reject(new Error(`the relay cannot be started: ${e.message}`)))
    relay.once('exit', code => reject(new Error(`the relay ended with code ${code}: see ${path.join(dir.logs, 'link.log')}`)))
  })
  failed.catch(() => {})
  if (relay.pid !== undefined) started(recordOf(relay.pid))
  const madeEnds = async (): Promise<void> => {
    while (![a, b].every(end => existsSync(`/sys/class/net/${end}`))) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await Promise.race([madeEnds(), failed])
  await acceptBridged(near, true)
  await ip([
    `link add ${near} type bridge`,
    `link set ${a} master ${near} up`,
    `link set ${b} master ${bridge} up`,
    `link set ${near} up`,
    `link set ${link} master ${near}`,
  ])
}

/** Makes a node's link whole again; nothing happens when it is. */
export async function healLink(dir: StateDir, node: string): Promise<void> {
  const { at, index } = indexOf(dir, node)
  await restoreLink(dir, at, { name: node, index })
}

/** As healLink, for a node that cluster.json may not know any more. */
export async function restoreLink(dir: StateDir, at: Addresses, { name, index }: Pick<NodeRecord, 'name' | 'index'>): Promise<void> {
  const state = readState(dir, name)
  if (!state) return
  if (state.loss > 0) await nft(`table ${tableOf(at, index)} {}\ndelete table ${tableOf(at, index)}\n`)
  if (state.delayMs > 0) {
    // A node that died in the meantime has no link any more.
    await ip([`link set ${at.link(index)} master ${at.bridge}`, `link del ${at.link(index)}d`], { force: true })
    await acceptBridged(`${at.link(index)}d`, false)
    // Its reads cannot be interrupted otherwise.
    if (state.relay && kill(state.relay, 'SIGKILL')) await untilGone(state.relay, 5000)
  }
  rmSync(stateFile(dir, name), { force: true })
}
