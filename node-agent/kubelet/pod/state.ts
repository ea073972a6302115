/** What the kubelet remembers of a pod across its own restarts: one small JSON file, replaced atomically at every change. */
import { mkdirSync } from 'node:fs'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import type { ContainerResources, ContainerUser } from '../../runtime/runtime.ts'
import type { Allocation } from '../cm/allocation.ts'
import type { Resize } from '../cm/resize.ts'
import type { Delay } from '../container/backoff.ts'
import type { PodDirectory } from './directory.ts'
import { CorruptError, readDurable, readWhole, writeDurable } from './durable.ts'
import type { Kill } from './kill.ts'
import type { PodNamespaces } from './namespaces.ts'

/** One run of a container. Times are ISO 8601 with milliseconds. */
export interface Attempt {
  /** The runtime's id. */
  id: string
  attempt: number
  image: string
  imageID: string
  /** What makes a change of the spec restart it. */
  hash: string
  /** Asks it to end, as its image or its spec named it; absent: SIGTERM. */
  stopSignal?: string
  /** The attempt of the sandbox it ran in. */
  sandbox: number
  /** `starting` until the runtime said that it runs: a crash in between leaves the truth to the runtime's directory. */
  state: 'starting' | 'running' | 'exited'
  startedAt?: string
  finishedAt?: string
  exitCode?: number
  signal?: number
  reason?: string
  message?: string
  user?: ContainerUser
  /** Where what is mounted is read-only all the way down. */
  recursiveReadOnly?: string[]
  /** The resources that it was last given, and what the kernel then said of them. */
  resources?: ResourceRequirements
  actual?: ContainerResources
  /** The readiness that was last seen, so that a restart of the kubelet does not take a pod out of its Services. */
  ready?: boolean
  /** The startup probe has succeeded (or there is none). */
  started?: boolean
}
export interface ContainerRecord {
  current: Attempt
  /** The run before; its log is `kubectl logs --previous`. */
  previous?: Attempt
  /** How long the next restart has to wait. */
  crash?: Delay
}
export interface Sandbox {
  attempt: number
  /** The boot of the node it was made in: another boot means that the kernel state is gone. */
  boot: string
  ip: string
  /** All of them, when there are several, that one first. */
  ips?: string[]
  /** Torn down, or gone with an earlier boot: the address is history. */
  lost?: boolean
  networkNamespace: string
  /** Those that its containers share beside the network. */
  namespaces?: PodNamespaces
  /** Of its RuntimeClass; absent: the default. */
  handler?: string
}
export interface PodState {
  sandbox?: Sandbox
  containers: { [name: string]: ContainerRecord }
  /** When the kubelet first saw the pod: status.startTime. */
  startTime: string
  /** Passed admission on this node; never asked again. */
  admitted?: boolean
  /** What is set aside for its containers on this node, whatever its spec asks for since. */
  allocated?: Allocation
  resize?: Resize
  /** Why the kubelet ended the pod itself. */
  ended?: Kill
}

export const newState = (now: Date): PodState => ({ containers: {}, startTime: now.toISOString() })

/** Throws as readWhole does. */
export function readState(d: PodDirectory): PodState | undefined {
  const state = readWhole<PodState | null>(d.state)
  if (state !== undefined && typeof state?.containers !== 'object') throw new CorruptError(`${d.state} is corrupt: it has no containers`)
  return state ?? undefined
}
export const readPod = (d: PodDirectory): Pod | undefined => readDurable<Pod>(d.pod)
export function writeState(d: PodDirectory, state: PodState): void {
  writeDurable(d.state, state)
}
export function writePod(d: PodDirectory, pod: Pod): void {
  mkdirSync(d.root, { recursive: true, mode: 0o750 })
  writeDurable(d.pod, pod)
}
