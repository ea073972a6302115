/** `cox up` of a cluster with nodes. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { untilNodesReady, untilPodsAdmitted } from './api.ts'
import { ensureCreds, ensureEncryption, requireReplication, writeFiles } from './files.ts'
import { LocalCluster, prepareCluster } from './local-cluster.ts'
import { nodeIdentity, nodeProcess } from './node.ts'
import { isAlive, readRecord } from './process.ts'
import type { Running, Told } from './running.ts'
import { addressesOf, requireCluster, type Addresses, type Cluster, type StateDir } from './state.ts'
import { isPrivileged } from './system.ts'
import type { Wanted } from './wanted.ts'

/** What is different without root, in a line or two. */
const onHostNotice = ({ host, services }: Addresses): string =>
  `${isPrivileged() ? 'on the host network' : 'not root'}: one node, whose pods are plain processes with the machine's address ${host}; Services are at ${services} (README: Without root)` +
  (host.startsWith('127.') ? '\nthe machine has no address but loopback: Services will have no endpoints' : '')

const writeOwnFiles = (dir: StateDir, cluster: Cluster): Promise<void> => {
  const at = addressesOf(cluster)
  return writeFiles(dir, {
    at,
    listen: at.nats.host,
    storeDir: path.join(dir.nats, 'store'),
    sync: cluster.ephemeral ? 'nobody' : at.nats.servers > 1 || cluster.controlPlanes ? 'server' : 'reader',
    serverIPs: ['127.0.0.1', at.host],
    remote: at.listen !== undefined,
    securePort: cluster.securePort,
  })
}

export async function start(dir: StateDir, wanted: Wanted, { stop, events, tell }: Told): Promise<Running> {
  const since = Date.now()
  if (wanted.natsServers === 3 || existsSync(path.join(dir.nats, 'grown.json')))
    await (await import('./growstore.ts')).growStore(dir, wanted, tell)
  const cluster = await prepareCluster(dir, wanted)
  const at = addressesOf(cluster)
  await requireReplication(at.nats.servers)
  if (wanted.encryptSecrets) ensureEncryption(dir)
  // A node that outlived its last supervisor has said that it is Ready before.
  const lives = new Map(cluster.nodes.map(n => [n.name, isAlive(readRecord(dir, nodeProcess(n.name))) ? 0 : since]))
  await writeOwnFiles(dir, cluster)
  await ensureCreds(
    dir,
    cluster.nodes.map(n => nodeIdentity(n.name)),
  )
  const local = new LocalCluster(dir, cluster, {
    ready: name => events.ready(name),
    died: (name, how, ms) => events.died(name, how, ms),
    nodeStarted: () => {},
    nodeDied: name => tell(`  ${name.padEnd(26)} died; \`cox node start ${name}\` starts it again`),
  })
  if (at.onHost) tell(onHostNotice(at))
  tell(`starting ${cluster.nodes.length} node${cluster.nodes.length === 1 ? '' : 's'} and the control plane, state in ${dir.root}`)
  const ready = (name: string): void => events.ready(name)
  const give = async (): Promise<void> => {
    if (!at.listen || at.nats.servers === 1) return
    const { giveNatsServers } = await import('./natsplaces.ts')
    await giveNatsServers(dir, stop, {
      withdraw: n => local.withdrawNatsServer(n),
      given: () => writeOwnFiles(dir, requireCluster(dir)),
      tell,
    })
  }
  return {
    started: Promise.all([local.start(), untilNodesReady(dir, lives, stop, ready), untilPodsAdmitted(dir, stop)]).then(() => {
      void give()
      return cluster
    }),
    stop: removed => local.stop(removed),
  }
}
