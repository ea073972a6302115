/** What the kubelet asks of a pod network. One implementation each: `bridge`, `host`, `cni`. */
import type { Pod } from '#shared/api/core/pod.ts'

export interface PodToConnect {
  uid: string
  namespace: string
  name: string
  hostPorts: { hostIP: string; hostPort: number; containerPort: number; protocol: string }[]
  sysctls: Record<string, string>
  annotations?: Readonly<Record<string, string>>
  /** The user namespace that the pod's network is to belong to; absent: the node's. */
  userNamespace?: string
}

export interface PodNetwork {
  readonly name: string
  /** As a container runtime's. */
  readonly unsupported?: (pod: Pod) => string[]
  /** Makes, or finds again after a restart of the node-agent, the pod's network; idempotent by pod UID. */
  setUp(
    pod: PodToConnect,
  ): Promise<{ ip: string; /** All of them, when there are several, that one first. */ ips?: string[]; namespacePath: string }>
  /** Takes it down and frees the address; idempotent, also for pods it never heard of. */
  tearDown(podUid: string): Promise<void>
  /** Releases whatever belongs to none of these pods (what a crash left). */
  retain(podUids: ReadonlySet<string>): Promise<void>
  /** The node's end of the link of the pod with this address. */
  readonly linkOf?: (ip: string) => string
  /** Why the node is not ready, as far as its network goes; and whom to tell that this may have changed. */
  readonly notReady?: () => string | undefined
  readonly onChange?: (changed: () => void) => void
  /** Called when the node has nothing else to do: the time to make what the next pods need. */
  prepare?(): Promise<void>
}
