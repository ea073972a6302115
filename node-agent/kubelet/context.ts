/** What the parts of the kubelet share, and what the steps of one pod share. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { RuntimeClass } from '#shared/api/node/runtimeclass.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import type { PodNetwork } from '../network/network.ts'
import type { NetworkPolicies } from '../networkpolicy/networkpolicy.ts'
import type { ImageConfig } from '../runtime/imageservice.ts'
import type { ContainerRuntime, ContainerStatus } from '../runtime/runtime.ts'
import type { Activity } from './activity.ts'
import type { DeviceManager } from './cm/devices/manager.ts'
import type { DynamicResources } from './cm/dra/manager.ts'
import type { PodCgroups } from './cm/podcgroups.ts'
import type { Delay, DelaySettings } from './container/backoff.ts'
import type { NodeFacts } from './container/fieldref.ts'
import type { ImagePuller } from './images/puller.ts'
import type { NodeCredentials } from './images/nodecredentials.ts'
import type { PullRecords } from './images/pullrecords.ts'
import type { SecurityPolicy } from './pod/admission.ts'
import type { TypedContainer } from './pod/containers.ts'
import type { PodDirectory } from './pod/directory.ts'
import type { ClusterNames } from './pod/files.ts'
import type { Kill } from './pod/kill.ts'
import type { PodState } from './pod/state.ts'
import type { ContainerProbes } from './probes/containerprobes.ts'
import type { ObjectSources, PodSources } from './sources.ts'
import type { StatusManager } from './status/manager.ts'
import type { NodeVolumes, PodVolumes } from './volumes/podvolumes.ts'

export interface KubeletContext {
  readonly nodeName: string
  readonly nodeIP: string
  /** All of them, that one first. */
  readonly nodeIPs: readonly string[]
  readonly rootDir: string
  /** The cgroup that all pods are in. */
  readonly cgroupRoot: string
  /** Names this life of the node's kernel state: another one means that containers and networks are gone. */
  readonly boot: string
  readonly memoryBytes: number
  readonly runtime: ContainerRuntime
  readonly puller: ImagePuller
  /** What the node knows of registries beside what pods say. */
  readonly nodeCredentials?: NodeCredentials | undefined
  /** Who may use images that are there; absent: all. */
  readonly pullRecords?: PullRecords | undefined
  readonly network: PodNetwork
  /** Absent where pods have no networks of their own. */
  readonly networkPolicies?: NetworkPolicies | undefined
  /** Absent where control groups cannot be had: nothing is limited then. */
  readonly podCgroups?: PodCgroups | undefined
  /** How containers wait that crash again and again; default is upstream's. */
  readonly crashLoop?: DelaySettings | undefined
  /** Extended resources of device plugins; absent where there can be none. */
  readonly devices?: DeviceManager | undefined
  /** Devices of resource claims; absent where drivers cannot register. */
  readonly dynamicResources?: DynamicResources | undefined
  readonly client: Client
  readonly recorder: EventRecorder
  readonly services: Informer<Service>
  readonly runtimeClasses: Informer<RuntimeClass>
  readonly names: ClusterNames
  readonly sources: ObjectSources
  readonly nodeVolumes: NodeVolumes
  readonly security?: SecurityPolicy & {
    /** Containers that name no seccomp profile have RuntimeDefault. */
    seccompDefault?: boolean
    /** Users of a pod that has its own. */
    idsPerPod?: number
  }
  readonly statuses: StatusManager
  /** Of the pods' workers. */
  readonly activity: Activity
  readonly log: Logger
  /** The node goes down: it takes no more pods. */
  readonly isShuttingDown?: () => boolean
  /** Our own Node as the API has it. */
  node(): Node | undefined
  /** Pods that were admitted and have not ended, with the resources of the node that they hold. */
  activePods(): Pod[]
  /** Whether a pod may still have what was set aside for it. */
  holdsResources(uid: string): boolean
  /** Ends a pod; resolves when nothing of it runs any more. */
  killPod(uid: string, kill: Kill): Promise<void>
  /** A pod has given resources back: others may wait for them. */
  resourcesFreed(): void
  /** Another pod of the same name has not ended yet: a static pod whose manifest was changed. It brings this one back. */
  mustWait(pod: Pod): boolean
}

/** A container on its way down. */
export interface Stopping {
  /** Gives up on grace earlier than planned. */
  shorten(graceSeconds: number): void
}

/** What is true of a container only as long as this process lives. */
export interface LiveContainer {
  waiting?: { reason: string; message?: string } | undefined
  stopping?: Stopping | undefined
  probes?: ContainerProbes | undefined
  /** Its postStart hook has not succeeded: it counts as waiting until then, and after a failure until it has exited. */
  inPostStart?: boolean | undefined
  /** Settles when the running container has exited and that is written down. */
  exited?: Promise<void> | undefined
  /** Its image is being pulled for its next start, or was. */
  pull?: { name: string; image?: ImageConfig } | undefined
  imageDelay?: Delay | undefined
  /** When the image was last asked for in vain, and why; what the node had by its name nevertheless. */
  imageFailure?: { at: number; reason: string; message: string; present?: string } | undefined
  /** When its configuration was last found wrong, and the version of what it refers to then. */
  configFailure?: { at: number; sources: number } | undefined
  /** This wait for a restart has been told by an event. */
  toldBackOff?: boolean | undefined
}

export interface PodContext {
  readonly kubelet: KubeletContext
  readonly pod: Pod
  readonly state: PodState
  readonly directory: PodDirectory
  readonly sources: PodSources
  readonly volumes: PodVolumes
  readonly log: Logger
  /** Aborts when the pod begins to terminate, so that nothing holds that up. */
  readonly ending: AbortSignal
  /** Aborts when the kubelet lets go of the pod: watches of containers end, containers do not. */
  readonly released: AbortSignal
  /** The pod with the resources that are set aside for it. */
  allocatedPod(): Pod
  live(container: string): LiveContainer
  facts(): NodeFacts
  /** Writes the state to disk; when that fails it is tried again until it is there. */
  save(): void
  /** Writes the state to disk; throws when that fails. For what must not happen unless it is remembered. */
  saveNow(): void
  /** Generates the status and has it sent. */
  publish(): void
  /** The same, unless something more is known in half a second. */
  publishSoon(): void
  /** Has the pod looked at again: now, or after a while. */
  kick(): void
  kickIn(ms: number): void
  event(type: 'Normal' | 'Warning', reason: string, message: string, container?: TypedContainer): void
}
export type { ContainerStatus }
