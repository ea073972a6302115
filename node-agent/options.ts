/** The flags of the node-agent. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { evictionHardFlag } from './kubelet/node/diskpressure.ts'
import { sysctlPatternError } from './kubelet/pod/sysctls.ts'
import { boolFlag, durationFlag, intFlag, namesFlag } from '#shared/component/flags.ts'

const cidr = z.string().regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'must be an IPv4 range, 10.0.0.0/24')
const directory = z.string().startsWith('/', 'must be an absolute path')

export const flags = z.object({
  natsUrl: z.string(),
  creds: z.string(),
  nodeName: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be a DNS name in lower case')
    .max(253),
  /** The node's state directory. */
  rootDir: directory,
  nodeIp: z.string().refine(isIPv4, 'must be an IPv4 address'),
  /** The addresses of this node's pods, of all pods, and of Services. */
  podCidr: cidr,
  clusterCidr: cidr,
  serviceClusterIpRange: cidr,
  /** The resolvers that pods are told of, and the domain that they answer for; without any, pods have the node's. */
  clusterDns: z.array(z.string().refine(isIPv4, 'must be an IPv4 address')).default([]),
  clusterDomain: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be a DNS name in lower case')
    .default('cluster.local'),
  /** The node's own resolvers. */
  resolvConf: directory.default('/etc/resolv.conf'),
  /** Where pods are known by their own addresses besides, such as the nodes' network when all on it have routes to the pods. */
  nonMasqueradeCidr: z.array(cidr).default([]),
  /** Everything of this node is below it, in every tree of control groups. */
  cgroupRoot: directory.default('/coxswain'),
  /** How containers run, pods are connected and Services are routed; by default the best that the node can do. */
  runtime: z.enum(['oci', 'process']).optional(),
  network: z.enum(['bridge', 'host']).optional(),
  proxy: z.enum(['nftables', 'userspace']).optional(),
  /** How much must be left of the disk of the state directory; less is DiskPressure. */
  evictionHard: evictionHardFlag().default(() => (size: number) => size / 10),
  /** How long that must not have been so before the condition ends. */
  evictionPressureTransitionPeriod: durationFlag().default(300_000),
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
  /** Sysctls that pods may set beside the safe ones: names, or prefixes that end with `*`. */
  allowedUnsafeSysctls: namesFlag().refine(names => names.every(name => sysctlPatternError(name) === undefined), {
    error: issue => (issue.input as string[]).flatMap(name => sysctlPatternError(name) ?? []).join('; '),
  }),
  /** Images of the user's, in YAML, beside those that are known. */
  imageCatalogue: z.string().optional(),
  /** How long pods have to end when the node shuts down, and how much of that is kept for critical ones. 0: they go with the node. */
  shutdownGracePeriod: durationFlag().default(0),
  shutdownGracePeriodCriticalPods: durationFlag().default(0),
  /** A directory with manifests of static pods; by default `manifests` in the state directory, if there is one when the node starts. */
  podManifestPath: directory.optional(),
})
export type NodeAgentOptions = z.output<typeof flags>
