/** The control-plane processes of a local cluster and their command lines. */
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { natsConfig, nodeSignerFile } from './files.ts'
import { livez, storeAnswers, type LivenessProbe } from './liveness.ts'
import { frontProxyName, load } from './pki.ts'
import { natsEnv, natsServer } from './system.ts'
import { clusterDnsAddress, firstService, type Addresses, type Cluster, type StateDir } from './state.ts'
import type { Component } from './supervisor.ts'
import type { Kept } from './wanted.ts'

/** dist/, where the bundles lie; the CLI is one of them. */
export const bundles = import.meta.dirname
/** The numbers of the nats-servers that no other machine has taken over. */
export const localServers = ({ nats: { servers, elsewhere } }: Pick<Addresses, 'nats'>): number[] =>
  Array.from({ length: servers }, (_, i) => i + 1).filter(n => elsewhere?.hosts[n] === undefined)
/** Of all nats-servers, with commas between them. */
export const natsUrl = ({ nats: { host, port, servers, hosts, elsewhere } }: Pick<Addresses, 'nats'>): string =>
  Array.from({ length: servers }, (_, i) => {
    const other = elsewhere?.hosts[i + 1]
    if (other !== undefined) return `nats://${other}:${elsewhere!.port}`
    return hosts ? `nats://${hosts[i]}:${port}` : `nats://${host}:${port + i}`
  }).join(',')
/** Of those that need no TLS, as they are on the machine that asks. */
export const localNatsUrl = (at: Pick<Addresses, 'nats'>): string =>
  localServers(at)
    .map(n => `nats://${at.nats.host}:${at.nats.port + n - 1}`)
    .join(',')
/** The authority of nats-servers, one of which may be on another machine. */
export const natsAuthority = (dir: StateDir, { nats, listen }: Pick<Addresses, 'nats' | 'listen'>): string | undefined =>
  listen && nats.servers > 1 ? path.join(dir.pki, 'ca.crt') : undefined

/**
 * What every process of ours is started with. Compiled code is kept beside the bundles. One arena of malloc for all threads: each further
 * one keeps what its thread once needed to compile (17 MB over all processes).
 */
export const processEnv = { NODE_COMPILE_CACHE: path.join(bundles, '.compile-cache'), MALLOC_ARENA_MAX: '1' }
/**
 * Node's arguments for a process of ours. V8 keeps two spaces of `youngMiB` for new objects, and what is in them counts as used: most
 * processes have little to do. One thread beside the main one compiles and collects garbage: with eight processes more of them only disturb
 * each other. Of what streams leave behind it is told when to collect (younggarbage.ts). No --enable-source-maps: the first stack trace
 * would cost 30 MB. `NODE_OPTIONS` brings it back for who debugs.
 */
export const nodeArgs = (youngMiB = 1): string[] => [`--max-semi-space-size=${youngMiB}`, '--v8-pool-size=1', '--expose-gc']
type Ours = keyof Cluster['instances']
/**
 * Those that see every write of the cluster make garbage with it: in a larger space it is collected less often, and more of it is dead by
 * then. Idle they do not fill it.
 */
const youngMiB: Record<Ours, number> = {
  'kube-apiserver': 64,
  'kube-controller-manager': 8,
  'kube-scheduler': 8,
  'cloud-controller-manager': 1,
}
/**
 * They run the same paths all the time. V8 optimizes a function after 3,000 calls of which the last 500 met nothing new, for which a server
 * takes a minute under load; with these a create costs a fifth less by then. Another V8 may not know the flags, which would end it.
 */
const optimizeEarly = process.versions.v8.startsWith('14.')
  ? ['--invocation-count-for-turbofan=800', '--minimum-invocations-after-ic-update=100']
  : []

/** A dead leader is replaced within 3 s. One that cannot renew, because the bus is away, waits and goes on: see leaderelection.ts. */
const leaderElection = [
  '--leader-elect-lease-duration',
  '2s',
  '--leader-elect-renew-deadline',
  '1500ms',
  '--leader-elect-retry-period',
  '500ms',
]
const tolerationSeconds = '4'

/** In the order of starting. Stopped in the other: leaders give back their leases, then nobody asks the API any more. */
export const controlPlaneComponents = [
  'nats-server',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'cloud-controller-manager',
] as const
/** Of the first, second, ... process of a component: `kube-scheduler`, `kube-scheduler-2`, ... It is its record's and its log's name. */
export const instanceName = (component: string, n: number): string => (n === 1 ? component : `${component}-${n}`)
/** What a process is in elections: those of two machines have the same names. */
export const identityOf = (name: string, { joined }: Pick<Cluster, 'joined'>): string => (joined ? `${name}-${joined.machine}` : name)
/** The component that a process's name is of; undefined when it is not of the control plane. */
export const componentOf = (name: string): string | undefined =>
  controlPlaneComponents.find(c => name === c || (name.startsWith(`${c}-`) && /^\d+$/.test(name.slice(c.length + 1))))

/** Several cannot rotate one file. */
export const auditLog = (dir: StateDir, n: number): string => path.join(dir.logs, 'audit', `${instanceName('kube-apiserver', n)}.log`)
/** 100 MB a file. */
const auditRotation = ['--audit-log-maxsize', '100', '--audit-log-maxbackup', '10']

/** Where one of several API servers can be asked alone: a loopback address of its own, where the system has several. */
export const ownAddress = (n: number): string => (process.platform === 'linux' ? `127.0.0.${n + 1}` : '127.0.0.1')

/** Aggregated APIs: by what front proxies are known, and how they say who asks; and by what API servers are known as such. */
const requestHeaderFlags = (pki: (file: string) => string): string[] => [
  ...['--requestheader-client-ca-file', pki('front-proxy-ca.crt'), '--requestheader-allowed-names', frontProxyName],
  ...['--requestheader-username-headers', 'X-Remote-User', '--requestheader-uid-headers', 'X-Remote-Uid'],
  ...['--requestheader-group-headers', 'X-Remote-Group', '--requestheader-extra-headers-prefix', 'X-Remote-Extra-'],
]
const frontProxyFlags = (pki: (file: string) => string): string[] => [
  ...['--proxy-client-cert-file', pki(`${frontProxyName}.crt`), '--proxy-client-key-file', pki(`${frontProxyName}.key`)],
  ...requestHeaderFlags(pki),
]

/** Resolves once something accepts connections. */
async function accepts(host: string, port: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const open = await new Promise<boolean>(resolve => {
      const socket = connect({ host, port }, () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.setTimeout(1000, () => resolve(false))
      socket.once('close', () => resolve(false))
      signal.addEventListener('abort', () => socket.destroy(), { once: true })
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await delay(10)
  }
  throw new Error('stopped')
}

/** The nats-server of this number, which listens there. */
export const natsComponent = (n: number, config: string, host: string, port: number): Component => ({
  name: instanceName('nats-server', n),
  command: natsServer() ?? 'nats-server',
  args: ['-c', config],
  env: natsEnv,
  probe: signal => accepts(host, port, signal),
})

/**
 * Every process of the control plane that cluster.json asks for. `identity` is a component's in leader elections: two processes that run at
 * the same time must have two. API servers that see nats-server's files (`seesStore`) sync them, as server.conf leaves it to them then.
 * `natsCaFile`: the authority of nats-servers where some are on another machine.
 */
export function controlPlane(
  dir: StateDir,
  at: Addresses,
  cluster: Pick<Cluster, 'securePort' | 'instances' | 'apiOnly' | 'ephemeral' | 'metricsServer' | 'cloudProvider' | 'joined' | Kept>,
  {
    identity = instanceName,
    seesStore = !cluster.ephemeral && at.nats.servers === 1,
    natsCaFile = natsAuthority(dir, at),
  }: { identity?: typeof instanceName; seesStore?: boolean; natsCaFile?: string } = {},
): Component[] {
  const { securePort, instances, auditPolicy, auditWebhookConfig, authenticationConfig, authorizationConfig } = cluster
  const { enableAdmissionPlugins, disableAdmissionPlugins, featureGates, schedulerConfig, controllers, apiOnly, metricsServer } = cluster
  const creds = (owner: string): string => path.join(dir.creds, `${owner}.creds`)
  const pki = (file: string): string => path.join(dir.pki, file)
  const ours = (component: Ours, args: (n: number) => string[], liveness?: (n: number) => LivenessProbe): Component[] =>
    Array.from({ length: instances[component] ?? 1 }, (_, i) => i + 1).map(n => ({
      name: instanceName(component, n),
      command: process.execPath,
      args: [
        ...nodeArgs(youngMiB[component]),
        ...optimizeEarly,
        path.join(bundles, `${component}.js`),
        '--nats-url',
        natsUrl(at),
        ...(natsCaFile === undefined ? [] : ['--nats-ca-file', natsCaFile]),
        ...args(n),
      ],
      env: processEnv,
      ...(liveness ? { liveness: liveness(n) } : {}),
    }))
  /** Upstream's ports, for a second process ten more. Clusters without nodes are several side by side, and nobody asks. */
  const serving = (component: Ours, port: number, n: number): string[] => [
    ...['--bind-address', at.host, '--secure-port', apiOnly ? '0' : String(port + 10 * (n - 1))],
    ...['--tls-cert-file', pki(`${component}.crt`), '--tls-private-key-file', pki(`${component}.key`), '--client-ca-file', pki('ca.crt')],
  ]
  // Where it can be had, the API server is at its Service's address by itself.
  const kubernetesService = at.onHost && process.platform === 'linux' ? [firstService(at)] : []
  return [
    ...localServers(at).map((n): Component => ({
      ...natsComponent(n, natsConfig(dir, n), at.nats.host, at.nats.port + n - 1),
      // Of several the witnesses cannot tell which is stuck.
      ...(at.nats.servers === 1 ? { liveness: storeAnswers('127.0.0.1', securePort, () => load(dir, 'admin')) } : {}),
    })),
    ...ours(
      'kube-apiserver',
      n => [
        ...(at.nats.servers > 1 ? ['--store-replicas', String(at.nats.servers)] : []),
        ...(seesStore ? ['--store-dir', path.join(dir.nats, 'store', 'jetstream'), '--store-record', dir.storeRecord] : []),
        ...['--registry-creds', creds('registry'), '--bus-creds', creds('system:apiserver')],
        // All of them serve the same two addresses and port, where the kernel hands each connection to one that lives. The third is this
        // one's alone.
        ...[...new Set(['127.0.0.1', at.host, ownAddress(n), ...kubernetesService])].flatMap(address => ['--bind-address', address]),
        ...['--advertise-address', at.host, '--secure-port', String(securePort), '--permit-port-sharing', 'true'],
        ...['--tls-cert-file', pki('apiserver.crt'), '--tls-private-key-file', pki('apiserver.key'), '--client-ca-file', pki('ca.crt')],
        ...[
          '--service-account-key-file',
          pki('sa.pub'),
          '--service-account-signing-key-file',
          pki('sa.key'),
          '--service-account-issuer',
          'https://kubernetes.default.svc.cluster.local',
        ],
        ...frontProxyFlags(pki),
        ...['--enable-bootstrap-token-auth', 'true'],
        ...['--service-cluster-ip-range', families(at.services, at.ipv6?.services)],
        // An ordinary user's proxy may not listen on 443.
        ...(at.onHost ? ['--kubernetes-service-port', String(securePort)] : []),
        ...(existsSync(dir.encryption)
          ? ['--encryption-provider-config', dir.encryption, '--encryption-provider-config-automatic-reload', 'true']
          : []),
        ...(auditPolicy === undefined ? [] : ['--audit-policy-file', auditPolicy, '--audit-log-path', auditLog(dir, n), ...auditRotation]),
        ...(auditWebhookConfig === undefined ? [] : ['--audit-webhook-config-file', auditWebhookConfig]),
        ...(authenticationConfig === undefined ? [] : ['--authentication-config', authenticationConfig]),
        ...(authorizationConfig === undefined ? [] : ['--authorization-config', authorizationConfig]),
        ...(enableAdmissionPlugins === undefined ? [] : ['--enable-admission-plugins', enableAdmissionPlugins]),
        ...(disableAdmissionPlugins === undefined ? [] : ['--disable-admission-plugins', disableAdmissionPlugins]),
        ...(featureGates === undefined ? [] : ['--feature-gates', featureGates]),
        ...['--default-not-ready-toleration-seconds', tolerationSeconds, '--default-unreachable-toleration-seconds', tolerationSeconds],
      ],
      n => livez(ownAddress(n), securePort),
    ),
    ...ours('kube-controller-manager', n => [
      ...[
        '--creds',
        creds('system:kube-controller-manager'),
        '--identity',
        identity('kube-controller-manager', n),
        '--root-ca-file',
        pki('ca.crt'),
        '--service-account-private-key-file',
        pki('sa.key'),
        ...['--cluster-signing-cert-file', pki('ca.crt'), '--cluster-signing-key-file', pki('ca.key')],
        ...['--cluster-signing-nats-file', nodeSignerFile(dir)],
      ],
      ...serving('kube-controller-manager', 10_257, n),
      ...(at.onHost ? [] : ['--cluster-dns', clusterDnsAddress(at)]),
      ...['--metrics-server', String(metricsServer !== 'off' && !apiOnly)],
      ...(at.onHost ? [] : ['--allocate-node-cidrs', 'true', '--cluster-cidr', at.pods, '--node-cidr-mask-size', '24']),
      ...(apiOnly ? [] : ['--local-storage-class', 'standard']),
      ...(controllers === undefined ? [] : ['--controllers', controllers]),
      ...requestHeaderFlags(pki),
      ...['--node-monitor-period', '500ms', '--node-monitor-grace-period', '4s', ...leaderElection],
    ]),
    ...ours('kube-scheduler', n => [
      '--creds',
      creds('system:kube-scheduler'),
      '--identity',
      identity('kube-scheduler', n),
      ...serving('kube-scheduler', 10_259, n),
      ...(schedulerConfig === undefined ? [] : ['--config', schedulerConfig]),
      ...leaderElection,
    ]),
    ...(apiOnly || cluster.cloudProvider === 'none'
      ? []
      : ours('cloud-controller-manager', n => [
          ...['--creds', creds('system:cloud-controller-manager'), '--identity', identity('cloud-controller-manager', n)],
          ...['--cloud-provider', 'local', '--cloud-config', dir.cloud],
          // The instances, and the routes to load balancers, are the first machine's.
          ...['--leader-elect-preference', cluster.joined ? 'deputy' : 'preferred'],
          ...serving('cloud-controller-manager', 10_258, n),
          ...leaderElection,
        ])),
  ]
}

/** As flags name both families. */
export const families = (first: string, second: string | undefined): string => (second === undefined ? first : `${first},${second}`)

export interface NodeAgent {
  name: string
  credsFile: string
  /** Its state directory. */
  root: string
  ip: string
  /** Where the nats-servers are, when that does not follow from the cluster's addresses. */
  natsUrl?: string
  /** Absent: what the node IPAM controller gives it. */
  podCIDR?: string
  /** Of the second family, where the cluster has it. */
  ipv6?: { ip: string; podCIDR: string } | undefined
  cgroup: string
  /** Where pods are known by their own addresses, besides the cluster's. */
  nonMasqueradeCIDRs: string[]
  /** More of its flags. */
  flags?: string[]
}

/** The command line of a node's agent: program first, its file next, then flags. */
export const nodeAgent = (
  at: Pick<Addresses, 'pods' | 'services' | 'onHost'> & Partial<Pick<Addresses, 'nats' | 'ipv6'>>,
  node: NodeAgent,
): string[] => [
  ...[process.execPath, ...nodeArgs(), path.join(bundles, 'node-agent.js')],
  ...[
    '--nats-url',
    node.natsUrl ?? (at.nats ? natsUrl({ nats: at.nats }) : ''),
    '--creds',
    node.credsFile,
    '--node-name',
    node.name,
    '--root-dir',
    node.root,
  ],
  ...(node.podCIDR === undefined ? [] : ['--pod-cidr', families(node.podCIDR, node.ipv6?.podCIDR)]),
  ...['--node-ip', families(node.ip, node.ipv6?.ip), '--cluster-cidr', families(at.pods, at.ipv6?.pods)],
  ...['--service-cluster-ip-range', families(at.services, at.ipv6?.services)],
  ...node.nonMasqueradeCIDRs.flatMap(cidr => ['--non-masquerade-cidr', cidr]),
  ...['--cgroup-root', node.cgroup],
  ...(at.onHost ? [] : ['--cluster-dns', clusterDnsAddress(at)]),
  ...[
    '--node-lease-duration-seconds',
    '4',
    '--node-status-update-frequency',
    '10s',
    '--eviction-hard',
    // The machine's disks are not the cluster's alone, and may be nearly full without it.
    'memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%,imagefs.available<1%,imagefs.inodesFree<1%',
    '--eviction-pressure-transition-period',
    '2s',
    ...(node.flags ?? []),
  ],
]
