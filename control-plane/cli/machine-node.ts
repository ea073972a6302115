/**
 * A machine that is a node of a cluster on another machine: `cox node join --server nats://...`. Its state directory holds its credentials,
 * what it was told of the cluster, and the node's own state. The node has the machine's network, and PID and mount namespaces of its own,
 * as the nodes of `cox up` have.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import * as z from 'zod'
import { nodes } from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { userClaims } from '#shared/bus/credentials.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import { isReady } from './api.ts'
import { nodeAgent } from './components.ts'
import { machineAddress } from './host-node.ts'
import { joinByNats } from './join.ts'
import { joinConfigSchema } from './joinconfig.ts'
import { ip } from './network.ts'
import { freeDevices, nodeIdentity, nodeProcess, removeCgroups, resolvConf, spawnNode } from './node.ts'
import { end, isAlive, readRecord, writeRecord } from './process.ts'
import { run } from './run.ts'
import { makeStateDir, readCluster, writeAtomically, type StateDir } from './state.ts'
import { ensurePrograms, isPrivileged } from './system.ts'

const joinedSchema = z.object({
  name: z.string(),
  /** nats-servers, with commas between them. */
  server: z.string(),
  nodeIP: z.ipv4(),
  /** Where the machine is: the node's zone. */
  zone: z.string().optional(),
  config: joinConfigSchema,
})
type Joined = z.infer<typeof joinedSchema>

const joinedFile = (dir: StateDir): string => path.join(dir.root, 'joined.json')
const caFile = (dir: StateDir): string => path.join(dir.pki, 'ca.crt')
const credsFile = (dir: StateDir, name: string): string => path.join(dir.creds, `${nodeIdentity(name)}.creds`)
const cgroup = (name: string): string => `/coxswain-machine-${name}`
const readyMs = 60_000
const zoneLabel = 'topology.kubernetes.io/zone'

/** What this machine is a node of; undefined when it has not joined anything. */
export function readJoined(dir: StateDir): Joined | undefined {
  if (!existsSync(joinedFile(dir))) return undefined
  try {
    return joinedSchema.parse(JSON.parse(readFileSync(joinedFile(dir), 'utf8')))
  } catch {
    throw new Error(`${joinedFile(dir)} is damaged; \`cox node leave\` removes it`)
  }
}

export interface MachineJoining {
  name?: string | undefined
  server?: string | undefined
  token?: string | undefined
  caCertHashes: readonly string[]
  natsUser?: string | undefined
  nodeIP?: string | undefined
  zone?: string | undefined
}

/** Whether the credentials that it was given are good still: it needs no token then. */
function isMember(dir: StateDir, name: string): boolean {
  const file = credsFile(dir, name)
  const claims = existsSync(file) && existsSync(caFile(dir)) ? userClaims(readFileSync(file, 'utf8')) : undefined
  return claims !== undefined && (claims.exp ?? Infinity) * 1000 > Date.now()
}

/** Joins unless it has, starts the node unless it runs, and waits until it is Ready; resolves with its name. */
export async function joinMachine(dir: StateDir, wanted: MachineJoining, say: (line: string) => void): Promise<string> {
  if (!isPrivileged()) throw new Error('a machine joins a cluster as root, on Linux')
  await ensurePrograms(say, 'node')
  const had = readJoined(dir)
  const name = wanted.name ?? had?.name ?? hostname().toLowerCase()
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name)) throw new Error(`"${name}" is no node name; give one with --name`)
  if (had && had.name !== name) throw new Error(`this machine is the node ${had.name}; \`cox node leave\` ends that`)
  makeStateDir(dir)
  const member = had && isMember(dir, name) ? { ...had, nodeIP: wanted.nodeIP ?? had.nodeIP } : await ask(dir, name, wanted)
  const zone = wanted.zone ?? had?.zone
  const joined = { ...member, ...(zone === undefined ? {} : { zone }) }
  writeAtomically(joinedFile(dir), JSON.stringify(joined, null, 2))
  const since = Date.now()
  if (!isAlive(readRecord(dir, nodeProcess(name)))) await start(dir, joined)
  await untilReady(dir, joined, since)
  return name
}

async function ask(dir: StateDir, name: string, { server, token, caCertHashes, natsUser, nodeIP }: MachineJoining): Promise<Joined> {
  if (server === undefined || token === undefined || natsUser === undefined)
    throw new Error('this machine is no member yet: use the whole command that `cox token create --print-join-command` printed')
  const { cert, key, creds, ca, config } = await joinByNats({ server, token, caCertHashes, natsUser, directory: dir.pki }, name)
  const pki = path.join(dir.nodes, name, 'pki')
  mkdirSync(pki, { recursive: true, mode: 0o755 })
  writeAtomically(path.join(pki, 'kubelet-client-current.pem'), cert + key)
  writeAtomically(path.join(pki, 'ca.crt'), ca, 0o644)
  writeAtomically(credsFile(dir, name), creds)
  const { hostname: towards } = new URL(server.split(',')[0]!)
  return { name, server, config, nodeIP: nodeIP ?? (await machineAddress(towards)) }
}

async function start(dir: StateDir, { name, server, nodeIP, zone, config }: Joined): Promise<void> {
  const root = path.join(dir.nodes, name)
  mkdirSync(root, { recursive: true, mode: 0o755 })
  removeCgroups(cgroup(name))
  const { machine, vxlan } = config
  const agent = nodeAgent(
    { pods: config.clusterCIDR, services: config.serviceCIDR, onHost: false },
    {
      natsUrl: server,
      name,
      credsFile: credsFile(dir, name),
      root,
      ip: nodeIP,
      cgroup: cgroup(name),
      nonMasqueradeCIDRs: [machine.range],
      flags: [
        ...['--nats-ca-file', caFile(dir), '--load-balancer-ip-range', config.loadBalancers, '--image-store', dir.images],
        ...['--vxlan', `${vxlan.id}:${vxlan.port}`, '--machine-route', `${machine.range}=${machine.address}`],
        ...['--machine-routes', String(config.directRoutes)],
        ...(zone === undefined ? [] : ['--node-labels', `${zoneLabel}=${zone}`]),
        ...resolvConf(root),
      ],
    },
  )
  const { pid } = await spawnNode(dir, name, root, agent, ['--pid', '--mount', '--ipc'])
  writeRecord(dir, nodeProcess(name), pid)
}

async function untilReady(dir: StateDir, { name, server }: Joined, since: number): Promise<void> {
  const signal = AbortSignal.timeout(readyMs)
  const log = logger('cox')
  log.level = 'error'
  const bus = await connectBus({ url: server, credsFile: credsFile(dir, name), caFile: caFile(dir), timeoutMs: readyMs, log })
  try {
    const client = newClient(natsTransport(bus), { userAgent: 'cox' })
    while (!signal.aborted)
      for await (const { type, object } of client.watch(nodes, '', { fieldSelector: `metadata.name=${name}` }, signal))
        if (type !== 'BOOKMARK' && type !== 'DELETED' && isReady(object, since)) return
    throw new Error('late')
  } catch (e) {
    if (!signal.aborted) throw e
    throw new Error(
      `node ${name} was started but is not Ready after ${readyMs / 1000} s; see ${path.join(dir.logs, `${nodeProcess(name)}.log`)}`,
    )
  } finally {
    await bus.close()
  }
}

/** Stops the node; it stays a member. */
export async function stopMachine(dir: StateDir, { name, config }: Joined): Promise<void> {
  await end(dir, nodeProcess(name))
  removeCgroups(cgroup(name))
  await freeDevices(dir, name)
  // In the machine's own network nothing goes by itself.
  await ip(['link del cbr0', 'link del coxvxlan', `route del unreachable ${config.clusterCIDR} metric 4000000`, 'route flush proto 120'], {
    force: true,
  })
  // The way of pods with an egress address (node-agent/network/egress.ts).
  await run('sh', ['-c', 'while ip rule del priority 12200; do :; done; ip route flush table 12200'], { timeoutMs: 10_000 })
  const tables = [
    'ip coxswain-egress',
    'ip coxswain-pods',
    'ip coxswain-hostports',
    'ip coxswain-networkpolicy',
    'ip kube-proxy',
    'bridge coxswain-pods',
  ]
  for (const table of tables) await run('nft', ['delete', 'table', ...table.split(' ')], { timeoutMs: 10_000 })
}

/** Stops the node and forgets everything of it. Its Node is left to the cluster's administrator: a node may not delete it. */
export async function leaveMachine(dir: StateDir): Promise<string> {
  const joined = readJoined(dir)
  if (!joined) throw new Error(`this machine is no node of another one's cluster: there is no ${joinedFile(dir)}`)
  await stopMachine(dir, joined)
  // The machine may be of the control plane, too.
  const authority = readCluster(dir) ? [] : [caFile(dir)]
  for (const gone of [path.join(dir.nodes, joined.name), credsFile(dir, joined.name), ...authority, joinedFile(dir)])
    rmSync(gone, { recursive: true, force: true })
  return joined.name
}
