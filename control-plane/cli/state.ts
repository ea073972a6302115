/** The state directory: everything a cluster is, and where each part of it lies. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import * as z from 'zod'

export interface StateDir {
  root: string
  cluster: string
  kubeconfig: string
  pki: string
  nats: string
  /** The newest version that the store is known to hold. */
  storeRecord: string
  /** How API servers encrypt what they store; there when they do. */
  encryption: string
  /** What the local cloud consists of, for the cloud controller manager. */
  cloud: string
  creds: string
  logs: string
  run: string
  nodes: string
  /** Images that are loaded or pulled, for all nodes. */
  images: string
}

/** Where things lie below a state directory; makes nothing. */
export function stateDir(root: string): StateDir {
  const at = (name: string): string => path.join(path.resolve(root), name)
  return {
    root: path.resolve(root),
    cluster: at('cluster.json'),
    kubeconfig: at('kubeconfig'),
    pki: at('pki'),
    nats: at('nats'),
    storeRecord: at('store-version'),
    encryption: path.join(at('pki'), 'encryption.yaml'),
    cloud: at('cloud.json'),
    creds: at('creds'),
    logs: at('logs'),
    run: at('run'),
    nodes: at('nodes'),
    images: at('images'),
  }
}

export function makeStateDir(dir: StateDir): void {
  for (const d of [dir.root, dir.pki, dir.nats, dir.creds, dir.logs, dir.run, dir.nodes]) makeDirectory(d)
}

/** Node's own recursive mkdir never returns where nothing can be made, as in /proc. */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) {
    if (!statSync(directory).isDirectory()) throw new Error(`${directory} is in the way: it is not a directory`)
    return
  }
  makeDirectory(path.dirname(directory))
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (e) {
    // Somebody may have been faster.
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw new Error(`the state directory cannot be made: ${(e as Error).message}`)
  }
}

const nodeSchema = z.object({
  name: z.string(),
  /** Decides the node's addresses; never used twice at a time. */
  index: z.number().int().min(1).max(127),
  /** How often the node was asked to start. The supervisor starts it when it has started it less often: a node that died stays dead. */
  starts: z.number().int(),
})
const count = () => z.number().int().min(1).max(9).default(1)
const clusterSchema = z.object({
  /** The cluster's number on this machine: decides ranges, interface names and cgroups. */
  index: z.number().int().min(0).max(99),
  securePort: z.number().int(),
  /** How many processes of each component the control plane has. */
  instances: z
    .object({
      ...{ 'kube-apiserver': count(), 'kube-controller-manager': count(), 'kube-scheduler': count() },
      'cloud-controller-manager': z.number().int().min(1).max(9).optional(),
    })
    .prefault({}),
  /** Whether the machine is a cloud to the cluster; it is unless this says `none`. */
  cloudProvider: z.enum(['local', 'none']).optional(),
  /** There when nodes, pods and Services have IPv6 addresses, too. Chosen when the cluster is made. */
  dualStack: z.literal(true).optional(),
  /** Over how many zones the nodes are spread. */
  zones: z.number().int().min(1).max(26).optional(),
  /** nats-servers that store the cluster together; 1 when absent. Chosen when the cluster is made. */
  natsServers: z.literal(3).optional(),
  /** Machines that have taken over the second or the third nats-server, by its number. */
  natsAt: z.partialRecord(z.enum(['2', '3']), z.ipv4()).optional(),
  /** Where other machines reach this one, and the port of the first nats-server there: their nodes can join then. */
  listen: z.object({ address: z.ipv4(), port: z.number().int().min(1).max(65_533), routes: z.boolean().optional() }).optional(),
  /** Whether other machines may be of the control plane: API servers there do not see nats-server's files. */
  controlPlanes: z.literal(true).optional(),
  /**
   * There when this machine was added to the control plane of another one's cluster: what it is called, where others reach it, and the id
   * of its token.
   */
  joined: z.object({ machine: z.string(), address: z.ipv4(), token: z.string().optional() }).optional(),
  /**
   * There when the node uses the machine's own network: without root, or on a Mac. The machine's address at the last start, and the port of
   * nats-server on loopback.
   */
  host: z.object({ address: z.string(), natsPort: z.number().int() }).optional(),
  /** There when the cluster is nothing but nats-server and an API server within `cox up`. */
  apiOnly: z.literal(true).optional(),
  /** Nothing of it is kept: whoever ends it removes its directory. */
  ephemeral: z.literal(true).optional(),
  /** What `cox up` was told that nodes shall use, in place of the best that they can. */
  runtime: z.enum(['oci', 'process']).optional(),
  proxy: z.enum(['nftables', 'userspace']).optional(),
  /** `cni`: plugins connect pods; absent: the nodes' own bridges do. And their configurations, as an absolute path. */
  network: z.literal('cni').optional(),
  cniConf: z.string().startsWith('/').optional(),
  /** A catalogue of the user's images, as an absolute path. */
  imageCatalogue: z.string().startsWith('/').optional(),
  /** A KubeletConfiguration for the nodes, as an absolute path. */
  kubeletConfig: z.string().startsWith('/').optional(),
  /** Where images are kept, as an absolute path; `images` in the state directory when absent. */
  imageStore: z.string().startsWith('/').optional(),
  /** How registries are reached: a registries.yaml, as an absolute path. */
  registries: z.string().startsWith('/').optional(),
  /** A CredentialProviderConfig, and the directory of the programs that it names, as absolute paths. */
  imageCredentialProviderConfig: z.string().startsWith('/').optional(),
  imageCredentialProviderBinDir: z.string().startsWith('/').optional(),
  /** What the API servers record: an audit policy, as an absolute path. */
  auditPolicy: z.string().startsWith('/').optional(),
  /** More files for the API servers, as absolute paths. */
  auditWebhookConfig: z.string().startsWith('/').optional(),
  authenticationConfig: z.string().startsWith('/').optional(),
  authorizationConfig: z.string().startsWith('/').optional(),
  schedulerConfig: z.string().startsWith('/').optional(),
  controllers: z.string().optional(),
  /** Names of admission plugins with commas between them. */
  enableAdmissionPlugins: z.string().optional(),
  disableAdmissionPlugins: z.string().optional(),
  /** As the API server's flag has them. */
  featureGates: z.string().optional(),
  /** Whether there is a metrics server; there is unless it is off. */
  metricsServer: z.enum(['on', 'off']).optional(),
  nodes: z.array(nodeSchema),
})
export type NodeRecord = z.infer<typeof nodeSchema>
export type Cluster = z.infer<typeof clusterSchema>
export type Instances = Cluster['instances']

/** What cluster.json says; undefined when there is none yet. Throws one clear line when it is not ours. */
export function readCluster(dir: StateDir): Cluster | undefined {
  let text: string
  try {
    text = readFileSync(dir.cluster, 'utf8')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw e
  }
  try {
    return clusterSchema.parse(JSON.parse(text))
  } catch {
    throw new Error(`${dir.cluster} is damaged; restore it, or remove ${dir.root} to start afresh`)
  }
}

/** cluster.json of a cluster that has to be there. */
export function requireCluster(dir: StateDir): Cluster {
  const cluster = readCluster(dir)
  if (!cluster) throw new Error(`there is no cluster in ${dir.root}; \`cox up\` makes one`)
  return cluster
}

/** Replaces a file so that readers see the old or the new text, never a part. */
export function writeAtomically(file: string, text: string, mode = 0o600): void {
  const temporary = `${file}.${process.pid}`
  try {
    writeFileSync(temporary, text, { mode })
    renameSync(temporary, file)
  } catch (e) {
    rmSync(temporary, { force: true })
    throw e
  }
}

export const writeCluster = (dir: StateDir, cluster: Cluster): void => writeAtomically(dir.cluster, `${JSON.stringify(cluster, null, 2)}\n`)

export interface NatsAddresses {
  host: string
  port: number
  servers: number
  /** Where each of them is on a machine of its own, with the same port. */
  hosts?: readonly string[]
  /** Machines that have taken one over, by its number, and the port that it has there. */
  elsewhere?: { hosts: Readonly<Record<string, string>>; port: number }
}

/**
 * Everything that follows from a cluster's number. One /16 a cluster: pods in the lower half, then Services, load balancers, the nodes
 * themselves.
 */
export function addresses(index: number) {
  const net = `10.${128 + index}`
  return {
    all: `${net}.0.0/16`,
    pods: `${net}.0.0/17`,
    services: `${net}.128.0/18`,
    balancers: `${net}.192.0/20`,
    nodes: `${net}.255.0/24`,
    host: `${net}.255.1`,
    nodeIP: (node: number) => `${net}.255.${10 + node}`,
    podCIDR: (node: number) => `${net}.${node}.0/24`,
    bridge: `cox${index}`,
    link: (node: number) => `cox${index}n${node}`,
    cgroup: `/coxswain-${index}`,
    /** The first of `servers`; the others have the ports after its. */
    nats: { host: `${net}.255.1`, port: 4222, servers: 1 } as NatsAddresses,
    /** Where other machines reach this one, if they do. */
    listen: undefined as Cluster['listen'],
    /** The network that carries packets between pods of two machines. */
    vxlan: { id: 49_152 + index, port: 8472 },
    vxlanLink: `cox${index}v`,
    /** Whether the machine's own network is all there is. */
    onHost: false,
    /** There when the cluster has both families. */
    ipv6: undefined as ReturnType<typeof ipv6Addresses> | undefined,
  }
}
export type Addresses = ReturnType<typeof addresses>

/**
 * The second family's: a /48 of unique local addresses a cluster (RFC 4193), in the same order. Pods and nodes have the number that they
 * have in IPv4.
 */
function ipv6Addresses(index: number) {
  const net = `fdc0:c5a1:${(128 + index).toString(16)}`
  const hex = (n: number): string => n.toString(16)
  return {
    all: `${net}::/48`,
    pods: `${net}:1::/64`,
    services: `${net}:2::/112`,
    balancers: `${net}:4::/112`,
    nodes: `${net}:3::/64`,
    host: `${net}:3::1`,
    nodeIP: (node: number) => `${net}:3::${hex(10 + node)}`,
    podCIDR: (node: number) => `${net}:1::${hex(node)}:0/120`,
  }
}

/**
 * The same where nothing can be made: the node is the machine, and Services have loopback addresses, which on Linux are all there already.
 */
function hostAddresses(index: number, { address, natsPort }: NonNullable<Cluster['host']>): Addresses {
  return {
    ...addresses(index),
    pods: `${address}/32`,
    services: `127.${32 + index}.0.0/16`,
    balancers: `127.${132 + index}.0.0/20`,
    host: address,
    nodeIP: () => address,
    podCIDR: () => `${address}/32`,
    nats: { host: '127.0.0.1', port: natsPort, servers: 1 },
    onHost: true,
  }
}
/** Of a cluster without nodes nothing is reached but on loopback; its Services have upstream's default range. */
const apiOnlyAddresses = (host: NonNullable<Cluster['host']>): Addresses => ({ ...hostAddresses(0, host), services: '10.96.0.0/16' })
/** The address of the Service `kubernetes`. */
export const firstService = ({ services }: Pick<Addresses, 'services'>): string => services.replace(/0\/\d+$/, '1')
/** The address of the Service `kube-dns`, the tenth as everywhere. */
export const clusterDnsAddress = ({ services }: Pick<Addresses, 'services'>): string => services.replace(/0\/\d+$/, '10')
export function addressesOf({
  index,
  host,
  apiOnly,
  natsServers,
  natsAt,
  listen,
  dualStack,
  joined,
}: Pick<Cluster, 'index' | 'host' | 'apiOnly' | 'natsServers' | 'natsAt' | 'listen' | 'dualStack' | 'joined'>): Addresses {
  if (host) return apiOnly ? apiOnlyAddresses(host) : hostAddresses(index, host)
  const at = addresses(index)
  const servers = { servers: natsServers ?? 1, ...(natsAt && listen ? { elsewhere: { hosts: natsAt, port: listen.port } } : {}) }
  if (joined && listen) return { ...at, host: joined.address, listen, nats: { host: listen.address, port: listen.port, ...servers } }
  return { ...at, listen, nats: { ...at.nats, ...servers }, ...(dualStack ? { ipv6: ipv6Addresses(index) } : {}) }
}
