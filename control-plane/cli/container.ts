/**
 * What the containers of docker-compose.yml run, with the files and command lines of `cox up`:
 *
 *     container setup              makes certificates, credentials and the kubeconfig; ends
 *     container run COMPONENT      becomes that component
 *     container health COMPONENT   ends with 0 when it does its work, with 1 and one line when not
 *     container image ...          is `cox image ...` of the store that the nodes share
 */
import { chownSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import path from 'node:path'
import { writeContainerCloud } from './cloud.ts'
import { authorityFile, ensureCreds, requireReplication, writeFiles } from './files.ts'
import { controlPlane, nodeAgent, natsUrl, processEnv } from './components.ts'
import { apiServerIsReady, leaseIsFresh, natsGreets } from './health.ts'
import { nodeIdentity } from './node.ts'
import { addresses, makeStateDir, stateDir, writeAtomically } from './state.ts'

// The places that docker-compose.yml mounts volumes at. Nodes see `nodes` alone.
const dir = stateDir('/var/lib/coxswain')
const nodeCreds = path.join(dir.nodes, 'creds')
const natsStore = '/var/lib/nats'
/** On the volume that all nodes have. */
const imageStore = path.join(dir.nodes, 'images')
const kubeconfigDir = '/kube'
/** A file of the project on the host: the kubeconfig shall belong to its owner. */
const projectFile = '/project'

/** In its container, where docker-compose.yml publishes it from. */
const securePort = 6443
/** How many nodes there can be: as many as the cluster's addresses allow. */
const slots = 127

function ownAddress(): string {
  const address = networkInterfaces()['eth0']?.find(a => a.family === 'IPv4')?.address
  if (address === undefined) throw new Error('this container has no IPv4 address on eth0')
  return address
}
/** The engine's DNS knows the services by their names; a component's own address is its container's. */
const natsServers = process.env['COXSWAIN_NATS_SERVERS'] === '3' ? 3 : 1
const hosts = ['nats', 'nats-2', 'nats-3']
const at = { ...addresses(0), nats: { host: 'nats', port: 4222, servers: natsServers, ...(natsServers > 1 ? { hosts } : {}) } }
const here = () => ({ ...at, host: ownAddress() })

/** Everything below a directory, itself included. */
const tree = (root: string): string[] => [
  root,
  ...readdirSync(root, { withFileTypes: true }).flatMap(e => (e.isDirectory() ? tree(path.join(root, e.name)) : [path.join(root, e.name)])),
]

async function setUp(): Promise<void> {
  const publishedPort = Number(process.env['COXSWAIN_PORT'])
  if (!Number.isInteger(publishedPort) || publishedPort < 1 || publishedPort > 65535)
    throw new Error(`COXSWAIN_PORT=${process.env['COXSWAIN_PORT']}: must be a port number`)
  await requireReplication(natsServers)
  makeStateDir(dir)
  mkdirSync(nodeCreds, { recursive: true, mode: 0o700 })
  await writeFiles(dir, { at, listen: '0.0.0.0', storeDir: natsStore, sync: 'server', serverIPs: ['127.0.0.1'], securePort: publishedPort })
  writeContainerCloud(dir)
  await ensureCreds(
    dir,
    Array.from({ length: slots }, (_, i) => nodeIdentity(`node-${i + 1}`)),
    nodeCreds,
  )
  // The image made the volume's root for the user that the control plane runs as, which signs certificates too. Other keys stay root's:
  // nobody but this container needs them.
  const { uid, gid } = statSync(dir.root)
  const kept = [authorityFile(dir), ...['admin.key', 'front-proxy-ca.key'].map(file => path.join(dir.pki, file))]
  for (const file of [dir.pki, dir.creds, dir.nats].flatMap(tree)) if (!kept.includes(file)) chownSync(file, uid, gid)
  const kubeconfig = path.join(kubeconfigDir, 'config')
  writeAtomically(kubeconfig, readFileSync(dir.kubeconfig, 'utf8'))
  const owner = statSync(projectFile)
  for (const file of [kubeconfigDir, kubeconfig]) chownSync(file, owner.uid, owner.gid)
}

/** The node that this container is: node-agent/container-init.sh made it the host name. */
function ownNode(): { name: string; index: number } {
  const name = hostname()
  const index = Number(/^node-(\d+)$/.exec(name)?.[1])
  if (!(index >= 1 && index <= slots)) throw new Error(`the host name "${name}" is none of node-1 to node-${slots}`)
  return { name, index }
}
const nodeCredsFile = (name: string): string => path.join(nodeCreds, `${nodeIdentity(name)}.creds`)

function run(component: string): never {
  let command: string[]
  const env = { ...process.env, ...processEnv } as Record<string, string>
  if (component === 'node-agent' || component === 'cluster-dns') {
    const { name, index } = ownNode()
    // The control plane's containers know no way to pods, so pods talk to them with the node's address.
    command = nodeAgent(here(), {
      name,
      credsFile: nodeCredsFile(name),
      root: path.join(dir.nodes, name),
      ip: here().host,
      podCIDR: at.podCIDR(index),
      cgroup: '/node',
      nonMasqueradeCIDRs: [],
      // All nodes share the volume.
      flags: ['--image-store', imageStore, '--cloud-provider', 'external'],
    })
    // Both have the same flags.
    if (component === 'cluster-dns') command = command.map(word => word.replace(/\/node-agent\.js$/, '/cluster-dns.js'))
  } else {
    const found = controlPlane(
      dir,
      here(),
      { securePort, instances: { 'kube-apiserver': 1, 'kube-controller-manager': 1, 'kube-scheduler': 1 } },
      // A container that is started again keeps its host name, one that is made anew does not.
      { identity: c => `${c}-${hostname()}`, seesStore: false },
    ).find(c => c.name === component)
    if (!found) throw new Error(`there is no component "${component}"`)
    command = [found.command, ...found.args]
    Object.assign(env, found.env)
  }
  const [program = '', ...args] = command
  process.removeAllListeners('warning')
  process.execve!(program, [program, ...args], env)
  throw new Error(`${program} cannot be started`)
}

function health(component: string): Promise<void> {
  const url = natsUrl(at)
  switch (component.replace(/^(nats-server)-\d$/, '$1')) {
    case 'nats-server':
      return natsGreets(at.nats.port)
    case 'kube-apiserver':
      return apiServerIsReady(dir, securePort)
    case 'kube-controller-manager':
    case 'kube-scheduler':
    case 'cloud-controller-manager':
      return leaseIsFresh(url, path.join(dir.creds, `system:${component}.creds`), 'kube-system', component)
    case 'node-agent':
      return leaseIsFresh(url, nodeCredsFile(ownNode().name), 'kube-node-lease', ownNode().name)
    default:
      throw new Error(`there is no component "${component}"`)
  }
}

async function images(): Promise<void> {
  const [{ Command, CommanderError }, { imageCommands }] = await Promise.all([import('commander'), import('./image.ts')])
  const program = new Command('container').exitOverride()
  imageCommands(program, imageStore)
  await program.parseAsync().catch((e: unknown) => {
    if (!(e instanceof CommanderError)) throw e
    process.exitCode = e.exitCode === 0 ? 0 : 1
  })
}

const [action, component = ''] = process.argv.slice(2)
try {
  if (action === 'setup') await setUp()
  else if (action === 'run') run(component)
  else if (action === 'health') await health(component)
  else if (action === 'image') await images()
  else throw new Error('what to do? setup, run COMPONENT, health COMPONENT or image')
  process.exit()
} catch (e) {
  process.stderr.write(`container: ${(e as Error).message}\n`)
  process.exit(1)
}
