/** The flags of the node-agent. */
import { isIPv4, isIPv6 } from 'node:net'
import * as z from 'zod'
import type { VerificationPolicy } from './kubelet/images/pullrecords.ts'
import { sysctlPatternError } from './kubelet/pod/sysctls.ts'
import type { SecondFamily } from './network/ipv6.ts'
import { boolFlag, durationFlag, intFlag, namesFlag } from '#shared/component/flags.ts'
import type { KubeletConfiguration } from '#shared/kubelet/configuration.ts'
import { defaultEvictionHard, parseStatements, parseThresholds, type Threshold } from '#shared/kubelet/thresholds.ts'
import { parseCIDR, type IPFamily } from '#shared/machinery/ip.ts'
import { normalQuantity } from '#shared/machinery/quantity.ts'

const ipv4 = z.string().refine(isIPv4, 'must be an IPv4 address')
const isRange = (family: IPFamily, text: string): boolean => parseCIDR(text)?.family === family
const ofBoth = (text: string, check: (family: IPFamily, part: string) => boolean): boolean => {
  const [first = '', second, ...more] = text.split(',')
  return check('IPv4', first) && (second === undefined || check('IPv6', second)) && more.length === 0
}
/** An IPv4 range, on a node of both families with an IPv6 one behind a comma. */
const ranges = z.string().refine(text => ofBoth(text, isRange), 'must be an IPv4 range, 10.0.0.0/24, or two, 10.0.0.0/24,fd00::/120')
/** `NAME<VALUE,...` or `NAME=VALUE,...`. */
const statementsFlag = (separator: '<' | '=') =>
  z.string().transform((text, ctx) => {
    try {
      return parseStatements(text, separator)
    } catch (e) {
      ctx.addIssue({ code: 'custom', message: (e as Error).message })
      return z.NEVER
    }
  })
const quantitiesFlag = () =>
  statementsFlag('=').refine(list => Object.values(list).every(q => normalQuantity(q) !== undefined), 'must be quantities')
const directory = z.string().startsWith('/', 'must be an absolute path')

export const flags = z.object({
  natsUrl: z.string(),
  creds: z.string(),
  /** The authority that must vouch for the nats-servers, PEM: those of another machine. */
  natsCaFile: z.string().optional(),
  nodeName: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be a DNS name in lower case')
    .max(253),
  /** `NAME=VALUE,...`: labels that the Node gets beside the usual ones, such as its zone. */
  nodeLabels: namesFlag()
    .refine(list => list.every(l => /^[\w./-]{1,317}=[\w.-]{0,63}$/.test(l)), 'must be NAME=VALUE,...')
    .transform(list => Object.fromEntries(list.map(l => l.split('=') as [string, string]))),
  /** The node's state directory. */
  rootDir: directory,
  nodeIp: z
    .string()
    .refine(
      text => ofBoth(text, (family, ip) => (family === 'IPv4' ? isIPv4(ip) : isIPv6(ip))),
      'must be an IPv4 address, or one and an IPv6 address',
    ),
  /** The addresses of this node's pods: those that the node IPAM controller gives it unless they are said here. */
  podCidr: ranges.optional(),
  /** The addresses of all pods, and of Services. */
  clusterCidr: ranges,
  serviceClusterIpRange: ranges,
  /** The resolvers that pods are told of, and the domain that they answer for; without any, pods have the node's. */
  clusterDns: z.array(z.string().refine(isIPv4, 'must be an IPv4 address')).default([]),
  clusterDomain: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be a DNS name in lower case')
    .default('cluster.local'),
  /** The node's own resolvers. */
  resolvConf: directory.default('/etc/resolv.conf'),
  /** Whose client certificates the kubelet's port believes; tokens are reviewed by the API server. */
  clientCaFile: z.string().optional(),
  /** Where pods are known by their own addresses besides, such as the nodes' network when all on it have routes to the pods. */
  nonMasqueradeCidr: z.array(ranges).default([]),
  /** Where machines other than this one reach this one; by default at the node's address, as a node is a machine. */
  machineAddress: ipv4.optional(),
  /** What leads to nodes of other machines: the machine's own end of the node's link, of a node that shares its machine with others. */
  machineGateway: ipv4.optional(),
  /** Without one, how packets reach pods of other machines: `ID:PORT` of a VXLAN, the same on all machines. */
  vxlan: z
    .string()
    .regex(/^\d+:\d+$/, 'must be ID:PORT')
    .transform(text => text.split(':').map(Number) as [id: number, port: number])
    .optional(),
  /** Whether machines of the same segment are sent packets as they are. */
  machineRoutes: boolFlag().default(false),
  /** Ranges that are reached through another machine, such as the API servers: `10.1.255.0/24=192.0.2.10`. */
  machineRoute: z
    .array(
      z
        .string()
        .regex(/^\d+\.\d+\.\d+\.\d+\/\d+=\d+\.\d+\.\d+\.\d+$/, 'must be RANGE=ADDRESS')
        .transform(text => text.split('=') as [range: string, machine: string]),
    )
    .default([]),
  /** Of pods' links, bytes; by default 1500, with a VXLAN what fits in. */
  mtu: z.coerce.number().int().min(576).max(65_535).optional(),
  /** `external`: the node begins with a taint that a cloud controller manager takes away. */
  cloudProvider: z.enum(['external', '']).default(''),
  /** Addresses of load balancers: what no Service answers there is refused. */
  loadBalancerIpRange: ranges.optional(),
  /** Everything of this node is below it, in every tree of control groups. */
  cgroupRoot: directory.default('/coxswain'),
  /** How containers run, pods are connected and Services are routed; by default the best that the node can do. */
  runtime: z.enum(['oci', 'process']).optional(),
  network: z.enum(['bridge', 'host', 'cni']).optional(),
  proxy: z.enum(['nftables', 'userspace']).optional(),
  /** CNI configurations, a directory or a file, and the directories of the plugins, beside those that pods bring. */
  cniConf: directory.default('/etc/cni/net.d'),
  cniBinDir: namesFlag().default(['/opt/cni/bin', '/usr/lib/cni']),
  /** A KubeletConfiguration. What it says replaces what flags do. */
  config: z.string().optional(),
  /** How much must be left of memory, disks and processes: less makes pods go, at once, or after a time of grace (soft). */
  evictionHard: statementsFlag('<').default(defaultEvictionHard),
  evictionSoft: statementsFlag('<').default({}),
  evictionSoftGracePeriod: statementsFlag('=').default({}),
  evictionMinimumReclaim: statementsFlag('=').default({}),
  /** How long pods have at most that a soft threshold evicts, in seconds; -1: as long as they give themselves. */
  evictionMaxPodGracePeriod: z.coerce.number().int().min(-1).default(0),
  /** How long too little must not have been left before the node's condition ends. */
  evictionPressureTransitionPeriod: durationFlag().default(300_000),
  /** What pods cannot have: `cpu=200m,memory=500Mi,ephemeral-storage=1Gi,pid=1000`. */
  kubeReserved: quantitiesFlag().default({}),
  systemReserved: quantitiesFlag().default({}),
  /** Whether the kernel keeps all pods together within what they can have. */
  enforceNodeAllocatable: namesFlag().default(['pods']),
  nodeStatusUpdateFrequency: durationFlag().default(10_000),
  nodeLeaseDurationSeconds: intFlag().default(40),
  /** How many images are pulled at the same time; 1 is upstream's serializeImagePulls. */
  maxParallelImagePulls: intFlag().default(1),
  maxPods: intFlag().default(110),
  /** Processes and threads of one pod; -1: as many as the node has. */
  podMaxPids: z.coerce.number().int().min(-1).default(4096),
  /** OCI runtimes beside those that are found, as HANDLER=PATH: programs with runc's command line. May be repeated. */
  runtimeHandler: z.array(z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?=\/.+$/, 'must be HANDLER=PATH')).default([]),
  /** Whether containers that name no seccomp profile have RuntimeDefault, or Unconfined as upstream's kubelet gives them by default. */
  seccompDefault: boolFlag().default(true),
  /** Users and groups of a pod with users of its own. */
  idsPerPod: intFlag().default(65_536),
  /** Sysctls that pods may set beside the safe ones: names, or prefixes that end with `*`. */
  allowedUnsafeSysctls: namesFlag().refine(names => names.every(name => sysctlPatternError(name) === undefined), {
    error: issue => (issue.input as string[]).flatMap(name => sysctlPatternError(name) ?? []).join('; '),
  }),
  /** Images of the user's, in YAML, beside those that are known. */
  imageCatalogue: z.string().optional(),
  /** Where the machine's images are kept, for all its nodes; by default in the state directory, for this one. */
  imageStore: directory.optional(),
  /** Mirrors, certificates and passwords of registries: a registries.yaml. */
  registries: directory.optional(),
  /** Programs that know how to get in at registries: a CredentialProviderConfig, and the directory that they are in. */
  imageCredentialProviderConfig: directory.optional(),
  imageCredentialProviderBinDir: directory.optional(),
  /** Of the disk of the images, in percent: from where on those that nothing uses go, and until how much is left. */
  imageGcHighThreshold: intFlag().default(85),
  imageGcLowThreshold: intFlag().default(80),
  /** How long an image is there before it may go. */
  minimumImageTtlDuration: durationFlag().default(120_000),
  /** How many images node.status tells of; -1: all. */
  nodeStatusMaxImages: z.coerce.number().int().min(-1).default(50),
  /** How long pods have to end when the node shuts down, and how much of that is kept for critical ones. 0: they go with the node. */
  shutdownGracePeriod: durationFlag().default(0),
  shutdownGracePeriodCriticalPods: durationFlag().default(0),
  /** A directory with manifests of static pods; by default `manifests` in the state directory, if there is one when the node starts. */
  podManifestPath: directory.optional(),
})
type Flags = z.output<typeof flags>
/** `nodeIp` and the ranges are those of IPv4. */
export type NodeAgentOptions = Flags & {
  /** On a node of both families. */
  ipv6?: SecondFamily
  /** What the eviction options come to. */
  thresholds: Threshold[]
  /** What a KubeletConfiguration alone says. */
  podsPerCore?: number
  registerWithTaints?: NonNullable<KubeletConfiguration['registerWithTaints']>
  /** One that has been unused for longer goes, ms. */
  imageMaximumGCAge?: number
  imagePullCredentialsVerificationPolicy?: VerificationPolicy
  preloadedImagesVerificationAllowlist?: string[]
  shutdownGracePeriodByPodPriority?: NonNullable<KubeletConfiguration['shutdownGracePeriodByPodPriority']>
  /** How large a container's log is before it is set aside, and how many there are of one run. */
  containerLogMaxBytes?: number
  containerLogMaxFiles?: number
  /** How long a container that crashes again and again waits at most, ms. */
  maxContainerRestartPeriod?: number
  /** Of that file: fields that do nothing here. */
  withoutEffect: string[]
}

/** What the flags come to, and the file that they may name. Rejects with one line when the file is wrong, or thresholds are. */
export async function nodeAgentOptions(given: Flags): Promise<NodeAgentOptions> {
  const thresholds = (o: Flags): Threshold[] =>
    parseThresholds({
      hard: o.evictionHard,
      soft: o.evictionSoft,
      softGracePeriod: o.evictionSoftGracePeriod,
      minimumReclaim: o.evictionMinimumReclaim,
    })
  const own = perFamily(given)
  if (given.config === undefined) return { ...own, thresholds: thresholds(given), withoutEffect: [] }
  // What reads it is large, and few have one.
  const { readConfiguration } = await import('./configuration.ts')
  const options = { ...own, ...(await readConfiguration(given.config)) }
  return { ...options, thresholds: thresholds(options) }
}

/** What is behind the commas of addresses and ranges, apart. Throws one line when some have a second one and others do not. */
function perFamily(given: Flags): Flags & Pick<NodeAgentOptions, 'ipv6'> {
  const first = (text: string): string => text.split(',')[0]!
  const second = (text: string | undefined): string | undefined => text?.split(',')[1]
  const { nodeIp, podCidr, clusterCidr, serviceClusterIpRange, nonMasqueradeCidr, loadBalancerIpRange } = given
  const [nodeIP, podCIDR, clusterCIDR, serviceCIDR] = [nodeIp, podCidr, clusterCidr, serviceClusterIpRange].map(second)
  const both = [nodeIP, podCIDR, clusterCIDR, serviceCIDR]
  if (both.some(t => t === undefined) !== both.every(t => t === undefined))
    throw new Error('--node-ip, --pod-cidr, --cluster-cidr and --service-cluster-ip-range must all name two families, or one')
  return {
    ...given,
    nodeIp: first(nodeIp),
    podCidr: podCidr && first(podCidr),
    clusterCidr: first(clusterCidr),
    serviceClusterIpRange: first(serviceClusterIpRange),
    nonMasqueradeCidr: nonMasqueradeCidr.map(first),
    loadBalancerIpRange: loadBalancerIpRange && first(loadBalancerIpRange),
    ...(nodeIP && podCIDR && clusterCIDR && serviceCIDR
      ? {
          ipv6: {
            ...{ nodeIP, podCIDR, clusterCIDR, serviceCIDR },
            nonMasqueradeCIDRs: nonMasqueradeCidr.flatMap(text => second(text) ?? []),
            loadBalancerCIDR: loadBalancerIpRange && second(loadBalancerIpRange),
          },
        }
      : {}),
  }
}
