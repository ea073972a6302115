/**
 * `cox up` on a machine that was added to the control plane of a cluster elsewhere: API servers, controller managers and schedulers that know
 * its nats-servers by TLS. Nodes, load balancers and the store are others' business.
 */
import path from 'node:path'
import { controlPlane, identityOf, instanceName } from './components.ts'
import { writeKubeconfig } from './files.ts'
import { editCluster, endSurplus, stopControlPlane } from './local-cluster.ts'
import { ensureCertificates } from './pki.ts'
import type { Running, Told } from './running.ts'
import { addressesOf, firstService, requireCluster, type StateDir } from './state.ts'
import { Supervisor } from './supervisor.ts'
import { kept, type Wanted } from './wanted.ts'

/** What this machine has no say in. */
const ofFirst: readonly (keyof Wanted)[] = [
  ...(['nodes', 'natsServers', 'listen', 'directRoutes', 'dualStack', 'network', 'runtime', 'proxy', 'cloudProvider', 'zones'] as const),
  ...(['imageCatalogue', 'imageStore', 'registries', 'kubeletConfig', 'cniConf', 'encryptSecrets', 'metricsServer', 'ephemeral'] as const),
]

export async function start(dir: StateDir, wanted: Wanted, { events, tell }: Told): Promise<Running> {
  const foreign = ofFirst.find(name => wanted[name] !== undefined && wanted[name] !== false)
  if (foreign) throw new Error(`--${foreign.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)} is for the cluster's first machine`)
  const cluster = await editCluster(dir, c => {
    Object.assign(c, kept(wanted, c), { instances: { ...c.instances, ...wanted.instances } })
    if (wanted.port) c.securePort = wanted.port
  })
  const at = addressesOf(cluster)
  const certificates = ensureCertificates(dir, ['127.0.0.1', at.host, firstService(at)], ['kube-controller-manager', 'kube-scheduler'])
  writeKubeconfig(dir.kubeconfig, cluster.securePort, certificates)
  const ours = controlPlane(dir, at, cluster, {
    identity: (component, n) => identityOf(instanceName(component, n), cluster),
    seesStore: false,
    natsCaFile: path.join(dir.pki, 'ca.crt'),
  }).filter(c => !c.name.startsWith('nats-server') && !c.name.startsWith('cloud-controller-manager'))
  const supervisors = ours.map(c => new Supervisor(dir, c, events))
  tell(`adding this machine (${at.host}) to the control plane of the cluster at ${at.nats.host}, state in ${dir.root}`)
  await endSurplus(dir, supervisors)
  return {
    started: Promise.all(supervisors.map(s => s.start())).then(() => requireCluster(dir)),
    stop: () => stopControlPlane(dir, supervisors),
  }
}
