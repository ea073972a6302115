/** What the kubelet asks of a container runtime. One implementation a file: `oci`, `process`. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { CgroupResources } from '#shared/linux/cgroupresources.ts'
import type { ImageConfig, ImageService } from './imageservice.ts'

/** What the kernel gives a container: absent is as the kernel has it, -1 no limit. */
export type ContainerResources = CgroupResources

export interface ContainerMount {
  /** Absolute path inside the container. */
  destination: string
  /** Absolute path on the node; absent for a tmpfs. */
  source?: string
  tmpfsBytes?: number
  readOnly: boolean
  /** Whose shared flock keeps the source there, as long as the container lives. */
  lock?: string
  /** What is mounted below is read-only, too. */
  recursiveReadOnly?: boolean
  /** Files of an image for data: no program is started from there, no device opened. */
  noExec?: boolean
  propagation: 'private' | 'rslave' | 'rshared'
}

/** A device file; what is not said of it is as the file on the node is. */
export interface DeviceNode {
  hostPath: string
  containerPath: string
  /** Of `rwm`. */
  permissions: string
  type?: 'b' | 'c' | undefined
  major?: number | undefined
  minor?: number | undefined
  fileMode?: number | undefined
  uid?: number | undefined
  gid?: number | undefined
}

export interface Hook {
  hookName: 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop'
  path: string
  args?: string[] | undefined
  env?: string[] | undefined
  /** Seconds. */
  timeout?: number | undefined
}

export interface ContainerSpec {
  /** Unique on the node for ever: `<podUID>-<containerName>-<attempt>` hashed or as it is; [a-zA-Z0-9_.-]. */
  id: string
  /** Where the runtime keeps everything of this container (bundle, upper, exit file); made by the runtime, removed by `remove`. */
  directory: string
  /** Of the pod's RuntimeClass; absent: the default. */
  handler?: string
  image: ImageConfig
  /** The final command line and environment, `NAME=value`. */
  args: string[]
  env: string[]
  workingDir: string
  /**
   * Numeric, or names resolved in the container's /etc/passwd by the runtime; empty for the image's user. By `Strict` the groups that the
   * image's /etc/group gives the user do not count.
   */
  user: { uid?: number; gid?: number; supplementalGroups: number[]; supplementalGroupsPolicy?: 'Merge' | 'Strict' }
  hostname: string
  mounts: ContainerMount[]
  /** The file the container's output is written to, in CRI log format (`<RFC3339Nano> stdout F <line>`). */
  logPath: string
  /** The path of the pod's network namespace, or 'node' for hostNetwork. */
  networkNamespace: string
  hostPID: boolean
  /** A process whose process namespace it joins; absent: it gets its own. */
  pidNamespaceOf?: number
  hostIPC: boolean
  /** The path of one that it shares; absent: it gets its own, unless it has the node's. */
  ipcNamespace?: string
  /** The path of one in which the host has its name, or 'node'; absent: it gets its own. */
  utsNamespace?: string
  /** The path of one, and who its users are on the node: 0 is `first` there. Absent: users are the node's. */
  userNamespace?: { path: string; first: number; size: number }
  stdin: boolean
  stdinOnce: boolean
  tty: boolean
  privileged: boolean
  readOnlyRootFilesystem: boolean
  allowPrivilegeEscalation: boolean
  capabilities: { add: string[]; drop: string[] }
  /** Which system calls it may make; absent: all. A profile of the node's is a path below `seccomp/` in its state directory. */
  seccomp?: { type: 'RuntimeDefault' } | { type: 'Localhost'; profile: string }
  /** A profile that the kernel has loaded. */
  appArmorProfile?: string
  /** All of /proc and /sys is shown and may be written, as far as the container's user namespace lets it. */
  unmaskedProc?: boolean
  sysctls: Record<string, string>
  resources: ContainerResources
  /** Device files of the node that it may use beside the usual ones. */
  devices?: DeviceNode[]
  /** Programs of the node that an OCI runtime calls at points of the container's life. */
  hooks?: Hook[]
  /** For the OCI runtime and its hooks. */
  annotations?: { [name: string]: string } | undefined
  oomScoreAdj?: number
  /** Cgroup path below the node's, `burstable/pod<uid>/<id>`. */
  cgroup: string
}

export interface ContainerUser {
  uid: number
  gid: number
  supplementalGroups: number[]
}

export interface ContainerStatus {
  id: string
  state: 'created' | 'running' | 'exited'
  /** The container's first process, in the node's PID namespace, if only one that waits to be let go; undefined when there is none. */
  pid?: number
  startedAt?: Date
  finishedAt?: Date
  exitCode?: number
  /** When the process died of a signal, its number; exitCode is then 128 + signal. */
  signal?: number
  oomKilled?: boolean
  /** Nobody saw its end: the node went down under it. `exitCode` is 255 then. */
  unseen?: true
  /** Whom its first process was started as; a container that is there already tells when it is adopted. */
  user?: ContainerUser
  /** Of a container that runs: what its control group says is in force. Absent where the runtime has none. */
  resources?: ContainerResources
}

export interface ContainerUsage {
  /** The working set: what could not be dropped at once. */
  memoryBytes: number
  /** All that is charged to it, and what of that belongs to no file; absent where nobody counts it. */
  usageBytes?: number
  rssBytes?: number
  /** Since its start. */
  cpuNanos: number
}

export interface ExecOptions {
  args: string[]
  env?: string[]
  tty: boolean
  stdin?: AsyncIterable<Uint8Array>
  /** Called with output as it comes; the returned promise is back-pressure. */
  stdout?: (data: Uint8Array) => Promise<void> | void
  stderr?: (data: Uint8Array) => Promise<void> | void
  resize?: AsyncIterable<{ Width: number; Height: number }>
  signal?: AbortSignal
}

/** As node.status.runtimeHandlers has them. */
export interface HandlerFeatures {
  /** Its containers have namespaces of their own, and files. Not told. */
  isolated: boolean
  recursiveReadOnlyMounts: boolean
  userNamespaces: boolean
}

/**
 * Thrown by `start` when there is nothing that could be started: a user whom the image does not know, a profile or a program of the runtime
 * that is not there.
 */
export class CreateContainerError extends Error {}

/** Why a container could not be started, in containerd's words, which users of Kubernetes know. */
export const startFailure = (why: string): string =>
  `failed to create containerd task: failed to create shim task: OCI runtime create failed: ${why}: unknown`

/** Thrown by `exec` when the command cannot start; the message is the OCI runtime's: `exec failed: unable to start container process: ...`. */
export class ExecFailedError extends Error {}

export interface ContainerRuntime {
  readonly name: string
  readonly version: string
  /** What it has under each name that a RuntimeClass may give; the default has the empty one. */
  readonly handlers: ReadonlyMap<string, HandlerFeatures>
  /** What of a pod's spec a handler cannot honour, each as a phrase that names the field; absent: nothing. */
  readonly unsupported?: (pod: Pod, handler: string) => string[]
  /** Where it has its images from. */
  readonly images: ImageService
  /** Rejects when its own programs are not there or do not answer. Absent: it has none. */
  readonly check?: () => Promise<void>
  /**
   * Starts a container under its shim. Throws with the runtime's message (RunContainerError; CreateContainerError before there is anything
   * to run). Resolves when its process runs.
   */
  start(spec: ContainerSpec): Promise<ContainerStatus>
  /**
   * The state of one container as the disk and the kernel tell it, whether or not this process started it; undefined when there is no
   * trace.
   */
  status(directory: string): Promise<ContainerStatus | undefined>
  /** As `status`, of a container that a node-agent began to start which died: one whose process only waits to be let go is let go. */
  adopt(directory: string): Promise<ContainerStatus | undefined>
  /** Changes what a running container may use, at once; what is absent stays. Rejects with the kernel's word. Absent: it cannot. */
  readonly update?: (directory: string, resources: ContainerResources) => Promise<void>
  /** Resolves when the container has exited, with its status; works for adopted containers. Event-driven. */
  wait(directory: string, signal?: AbortSignal): Promise<ContainerStatus>
  /**
   * Sends a signal to the container's first process, SIGTERM for one that nobody knows; false when it is already gone. 'SIGKILL' kills all
   * of its processes.
   */
  kill(directory: string, signal: string): Promise<boolean>
  /** Runs a command inside; resolves with its exit code. Rejects with an ExecFailedError when it cannot start. */
  exec(directory: string, options: ExecOptions): Promise<number>
  /** Attaches to the container's stdin. */
  writeStdin(directory: string, data: AsyncIterable<Uint8Array>): Promise<void>
  /** Tells a container that has a terminal its size. */
  resizeTerminal(directory: string, size: { Width: number; Height: number }): Promise<void>
  /** Starts a new log file: the old one was renamed by the caller. */
  reopenLog(directory: string): Promise<void>
  /** Kills what is left and removes every trace (shim, mounts, cgroup, bundle). Idempotent. */
  remove(directory: string): Promise<void>
  /** Where what a container writes outside of its volumes is kept. */
  writableLayer(directory: string): string
  /** Working-set bytes and cumulative CPU nanoseconds, for stats; undefined when not running. */
  stats(directory: string): Promise<ContainerUsage | undefined>
}
