/**
 * `cox up` on a machine that was added to the control plane of a cluster elsewhere: API servers, controller managers, schedulers and cloud
 * controller managers that know its nats-servers by TLS, and one of three nats-servers. Nodes are others' business.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { writeDeputyCloud } from './cloud.ts'
import { componentOf, controlPlane, identityOf, instanceName, natsComponent } from './components.ts'
import { natsConfig, requireReplication, writeKubeconfig } from './files.ts'
import { editCluster, endSurplus, stopControlPlane } from './local-cluster.ts'
import type { Moved } from './natsplaces.ts'
import { ensureCertificates, ensureNatsCertificate } from './pki.ts'
import type { Running, Told } from './running.ts'
import { addressesOf, firstService, requireCluster, writeAtomically, type Cluster, type StateDir } from './state.ts'
import { Supervisor, type Component } from './supervisor.ts'
import { kept, type Wanted } from './wanted.ts'

/** What this machine has no say in. */
const ofFirst: readonly (keyof Wanted)[] = [
  ...(['nodes', 'natsServers', 'listen', 'directRoutes', 'dualStack', 'network', 'runtime', 'proxy', 'cloudProvider', 'zones'] as const),
  ...(['imageCatalogue', 'imageStore', 'registries', 'kubeletConfig', 'cniConf', 'encryptSecrets', 'metricsServer', 'ephemeral'] as const),
]

export async function start(dir: StateDir, wanted: Wanted, { stop, events, tell }: Told): Promise<Running> {
  const foreign = ofFirst.find(name => wanted[name] !== undefined && wanted[name] !== false)
  if (foreign) throw new Error(`--${foreign.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)} is for the cluster's first machine`)
  const cluster = await editCluster(dir, c => {
    Object.assign(c, kept(wanted, c), { instances: { ...c.instances, ...wanted.instances } })
    if (wanted.port) c.securePort = wanted.port
  })
  const at = addressesOf(cluster)
  const certificates = ensureCertificates(dir, ['127.0.0.1', at.host, firstService(at)])
  writeDeputyCloud(dir, at)
  writeKubeconfig(dir.kubeconfig, cluster.securePort, certificates)
  await requireReplication(at.nats.servers)
  if (ownServer(cluster) !== undefined) ensureNatsCertificate(dir, [at.host])
  const supervisors = componentsOf(dir, cluster).map(({ name }) => {
    const now = (): Component => componentsOf(dir, requireCluster(dir)).find(c => c.name === name)!
    return new Supervisor(dir, now, events)
  })
  tell(`adding this machine (${at.host}) to the control plane of the cluster at ${at.nats.host}, state in ${dir.root}`)
  await endSurplus(dir, supervisors)
  const store = async (): Promise<void> => {
    if (at.nats.servers === 1) return
    const { followPlaces, notePlaces, onLeaving } = await import('./natsplaces.ts')
    const leaving = onLeaving(
      cluster.joined?.token,
      () => ownServer(requireCluster(dir)),
      async n => {
        const index = supervisors.findIndex(s => s.name === instanceName('nats-server', n))
        tell(`nats-server-${n} leaves this machine, whose token is revoked`)
        await editCluster(dir, c => void delete c.natsAt?.[n])
        if (index >= 0) await supervisors.splice(index, 1)[0]!.stop()
      },
    )
    const failed = (reason: string): void => tell(`the places of the nats-servers: ${reason}`)
    await takeNatsServer(dir, supervisors, { stop, events, tell })
    await followPlaces(dir, stop, places => leaving(places).then(() => notePlaces(dir, places)), failed)
  }
  return {
    started: Promise.all(supervisors.map(s => s.start())).then(() => {
      void store()
      return requireCluster(dir)
    }),
    stop: removed => stopControlPlane(dir, supervisors, removed ? [] : undefined),
  }
}

/** Which nats-server this machine has taken over. */
const ownServer = ({ natsAt, joined }: Cluster): Moved | undefined =>
  ([2, 3] as const).find(n => natsAt?.[n] !== undefined && natsAt[n] === joined?.address)

/** What runs here, as cluster.json says by now. */
function componentsOf(dir: StateDir, cluster: Cluster): Component[] {
  const at = addressesOf(cluster)
  const ours = controlPlane(dir, at, cluster, {
    identity: (component, n) => identityOf(instanceName(component, n), cluster),
    seesStore: false,
    natsCaFile: path.join(dir.pki, 'ca.crt'),
  }).filter(c => {
    const component = componentOf(c.name)
    // Machines that joined formerly have no credentials for it.
    const cloud = existsSync(path.join(dir.creds, 'system:cloud-controller-manager.creds'))
    return component !== 'nats-server' && (component !== 'cloud-controller-manager' || cloud)
  })
  const n = ownServer(cluster)
  return [...(n === undefined ? [] : [natsComponent(n, natsConfig(dir), at.host, at.listen!.port)]), ...ours]
}

/** Makes this machine the place of one of the three nats-servers, unless it is or others are of all of them. */
async function takeNatsServer(dir: StateDir, supervisors: Supervisor[], { stop, events, tell }: Told): Promise<void> {
  const { claimNatsServer, insist, settleNatsServer, untilCurrent } = await import('./natsplaces.ts')
  const failed = (reason: string): void => tell(`no nats-server here yet: ${reason}`)
  let n = ownServer(requireCluster(dir))
  const take = async (): Promise<void> => {
    const cluster = requireCluster(dir)
    const claimed = await claimNatsServer(dir, cluster, stop)
    if (!claimed) return
    ensureNatsCertificate(dir, [cluster.joined!.address])
    writeAtomically(natsConfig(dir), claimed.config)
    n = claimed.n
    await editCluster(dir, c => void (c.natsAt = { ...c.natsAt, [claimed.n]: cluster.joined!.address }))
    const supervisor = new Supervisor(dir, () => componentsOf(dir, requireCluster(dir))[0]!, events)
    supervisors.push(supervisor)
    supervisor.start().catch((e: Error) => failed(e.message))
  }
  if (n === undefined) await insist(take, stop, failed)
  if (n === undefined) return
  const own = n
  await insist(
    async () => {
      await untilCurrent(dir, stop)
      await settleNatsServer(dir, requireCluster(dir), own)
    },
    stop,
    failed,
  )
  if (!stop.aborted) tell(`nats-server-${own} is here and has caught up`)
}
