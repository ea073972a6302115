/**
 * `cox up --api-only`: nothing but nats-server and an API server, which runs within this process: another Node would take 40 ms to start
 * and a quarter of the memory. The controller manager, where it is asked for, is a process beside. What runs beside does not outlive this
 * one.
 */
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseFeatureGates } from '../apiserver/featuregates.ts'
import { auditLog, bundles, controlPlane } from './components.ts'
import { ensureCreds, ensureEncryption, natsConfig, writeKubeconfig, writeNatsFiles, writeNodeSigner } from './files.ts'
import { freePort } from './freeport.ts'
import { ensureCertificates, frontProxyName } from './pki.ts'
import { end, recordedNames, supervisorProcess } from './process.ts'
import type { Running, RunningEvents, Told } from './running.ts'
import { addressesOf, firstService, readCluster, writeCluster, type Cluster, type StateDir } from './state.ts'
import { Supervisor, type Component } from './supervisor.ts'
import { natsEnv, natsServer } from './system.ts'
import { compileAfter, testRequests } from './tiering.ts'
import { kept, type Wanted } from './wanted.ts'

type ApiServerBundle = typeof import('../apiserver/main.ts')

const controllerManager = 'kube-controller-manager'
const host = '127.0.0.1'

/** Resolves with the port that nats-server listens on, once its process says so in its log. */
function untilListening(log: string, pid: number, signal: AbortSignal): Promise<number> {
  const line = new RegExp(`^\\[${pid}\\] .*Listening for client connections on .*:(\\d+)$`, 'm')
  return new Promise((resolve, reject) => {
    const watcher = watch(log, { signal }, () => look())
    watcher.once('close', () => reject(new Error('stopped'))).once('error', reject)
    const look = (): void => {
      const port = line.exec(readFileSync(log, 'utf8'))?.[1]
      if (port === undefined) return
      resolve(Number(port))
      watcher.close()
    }
    look()
  })
}

/** What cluster.json says of such a cluster. Ports are 0 until they are known. */
async function prepare(dir: StateDir, wanted: Wanted): Promise<Cluster> {
  const had = readCluster(dir)
  if (had && !had.apiOnly) throw new Error(`the cluster in ${dir.root} was made without --api-only`)
  const portKept = async (): Promise<number> => (wanted.ephemeral ? 0 : freePort(had?.securePort || 6443, new Set()))
  return {
    apiOnly: true,
    ...(wanted.ephemeral ? { ephemeral: true } : {}),
    index: 0,
    securePort: wanted.port ?? (await portKept()),
    host: { address: host, natsPort: 0 },
    instances: { 'kube-apiserver': 1, [controllerManager]: 1, 'kube-scheduler': 1 },
    ...kept(wanted, had),
    nodes: [],
  }
}

class ApiOnlyCluster {
  readonly #dir: StateDir
  readonly #wanted: Wanted
  readonly #events: RunningEvents
  readonly #supervisors: Supervisor[] = []
  #server: Awaited<ReturnType<ApiServerBundle['startApiServer']>> | undefined

  constructor(dir: StateDir, wanted: Wanted, events: RunningEvents) {
    this.#dir = dir
    this.#wanted = wanted
    this.#events = events
  }

  /** Resolves when the API server serves, and the controller manager works. */
  async start(): Promise<Cluster> {
    const dir = this.#dir
    const wanted = this.#wanted
    const cluster = await prepare(dir, wanted)
    const at = addressesOf(cluster)
    // What a former one left where the system does not end it.
    await Promise.all(recordedNames(dir).map(name => (name === supervisorProcess ? undefined : end(dir, name))))
    writeCluster(dir, cluster)
    if (wanted.encryptSecrets) ensureEncryption(dir)
    const storeDir = path.join(dir.nats, 'store')
    const sync = wanted.ephemeral ? 'nobody' : 'reader'
    await writeNatsFiles(dir, { listen: host, port: 0, storeDir, sync }, ['registry', 'system:apiserver'])
    const listening = this.#startNats()
    const certificates = ensureCertificates(dir, [host, firstService(at)], [])
    // It is loaded, which takes one processor, while nats-server starts on another.
    const bundle = (await import(path.join(bundles, 'kube-apiserver.js'))) as ApiServerBundle
    const nats = { host, port: await listening }
    this.#server = await this.#startApiServer(bundle, cluster, nats.port)
    const { port } = this.#server
    this.#events.ready('kube-apiserver')
    const running = { ...cluster, securePort: port, host: { address: host, natsPort: nats.port } }
    writeCluster(dir, running)
    writeKubeconfig(dir.kubeconfig, port, certificates)
    if (wanted.withControllers) await this.#startControllers(running)
    return running
  }

  async stop(): Promise<void> {
    const [nats, ...others] = this.#supervisors
    await Promise.all(others.map(s => s.stop()))
    await this.#server?.close()
    await nats?.stop(this.#wanted.ephemeral ? 0 : undefined)
  }

  /** Resolves with its port. A later life gets the same. */
  async #startNats(): Promise<number> {
    const dir = this.#dir
    const port = Promise.withResolvers<number>()
    const component: Component = {
      name: 'nats-server',
      command: natsServer() ?? 'nats-server',
      args: ['-c', natsConfig(dir)],
      env: natsEnv,
      diesWithSupervisor: true,
      probe: async (signal, pid) => port.resolve(await untilListening(path.join(dir.logs, 'nats-server.log'), pid, signal)),
    }
    const nats = new Supervisor(dir, () => component, this.#events)
    this.#supervisors.push(nats)
    const listening = await Promise.race([nats.start().then(() => port.promise), port.promise])
    const conf = readFileSync(natsConfig(dir), 'utf8')
    writeFileSync(natsConfig(dir), conf.replace(/^listen: .*$/m, `listen: "${host}:${listening}"`))
    return listening
  }

  #startApiServer({ startApiServer, serverOptions, logger }: ApiServerBundle, cluster: Cluster, natsPort: number) {
    const dir = this.#dir
    const { withControllers, ephemeral } = this.#wanted
    const pki = (file: string): string => path.join(dir.pki, file)
    const list = (text = ''): string[] => text.split(',').filter(Boolean)
    const options = serverOptions({
      natsUrl: `nats://${host}:${natsPort}`,
      registryCreds: path.join(dir.creds, 'registry.creds'),
      busCreds: path.join(dir.creds, 'system:apiserver.creds'),
      ...(ephemeral ? {} : { storeDir: path.join(dir.nats, 'store', 'jetstream'), storeRecord: dir.storeRecord }),
      bindAddress: [host],
      securePort: cluster.securePort,
      tlsCertFile: pki('apiserver.crt'),
      tlsPrivateKeyFile: pki('apiserver.key'),
      clientCaFile: pki('ca.crt'),
      proxyClientCertFile: pki(`${frontProxyName}.crt`),
      proxyClientKeyFile: pki(`${frontProxyName}.key`),
      requestheaderClientCaFile: pki('front-proxy-ca.crt'),
      requestheaderAllowedNames: [frontProxyName],
      requestheaderUidHeaders: ['X-Remote-Uid'],
      serviceAccountKeyFile: [pki('sa.pub')],
      serviceAccountSigningKeyFile: pki('sa.key'),
      enableBootstrapTokenAuth: true,
      serviceClusterIpRange: addressesOf(cluster).services,
      ...(existsSync(dir.encryption) ? { encryptionProviderConfig: dir.encryption, encryptionProviderConfigAutomaticReload: true } : {}),
      authenticationConfig: cluster.authenticationConfig,
      authorizationConfig: cluster.authorizationConfig,
      auditWebhookConfigFile: cluster.auditWebhookConfig,
      ...(cluster.auditPolicy === undefined
        ? {}
        : { auditPolicyFile: cluster.auditPolicy, auditLogPath: auditLog(dir, 1), auditLogMaxsize: 100, auditLogMaxbackup: 10 }),
      enableAdmissionPlugins: list(cluster.enableAdmissionPlugins),
      // Nobody makes the accounts that it asks for.
      disableAdmissionPlugins: [...list(cluster.disableAdmissionPlugins), ...(withControllers ? [] : ['ServiceAccount'])],
      featureGates: parseFeatureGates(cluster.featureGates ?? ''),
    })
    return startApiServer(options, logger('kube-apiserver', path.join(dir.logs, 'kube-apiserver.log')))
  }

  async #startControllers(cluster: Cluster): Promise<void> {
    const dir = this.#dir
    await Promise.all([writeNodeSigner(dir), ensureCreds(dir, [`system:${controllerManager}`])])
    const component = controlPlane(dir, addressesOf(cluster), cluster).find(c => c.name === controllerManager)!
    const supervisor = new Supervisor(dir, () => ({ ...component, diesWithSupervisor: true }), this.#events)
    this.#supervisors.push(supervisor)
    await supervisor.start()
  }
}

export function start(dir: StateDir, wanted: Wanted, { stop, events, tell }: Told): Running {
  compileAfter(testRequests)
  tell(`starting nats-server and an API server, state in ${dir.root}`)
  const cluster = new ApiOnlyCluster(dir, wanted, events)
  const started = async (): Promise<Cluster> => {
    const running = await cluster.start()
    if (wanted.withControllers) await import('./api.ts').then(api => api.untilPodsAdmitted(dir, stop))
    return running
  }
  return { started: started(), stop: () => cluster.stop() }
}
