/** Puts together what the runtime needs to start one container. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { SeccompProfile } from '#shared/api/core/podspec/securitycontext.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { ImageConfig } from '../../runtime/imageservice.ts'
import type { ContainerMount, ContainerSpec } from '../../runtime/runtime.ts'
import { appArmorProfile } from '../pod/apparmor.ts'
import { podText } from '../pod/containers.ts'
import { podHostname } from '../pod/files.ts'
import type { PodNamespaces } from '../pod/namespaces.ts'
import { podCgroup } from '../pod/qos.ts'
import { expand } from './expansion.ts'
import { kernelResources, oomScoreAdjust, withinPod } from './resources.ts'

export interface SpecInput {
  pod: Pod
  container: Container | EphemeralContainer
  image: ImageConfig
  env: ReadonlyMap<string, string>
  mounts: ContainerMount[]
  id: string
  directory: string
  logPath: string
  networkNamespace: string
  handler?: string | undefined
  /** Those that it shares with the other containers of its pod. */
  namespaces?: PodNamespaces | undefined
  /** A process in the process namespace that it shares, absent when it has its own. */
  targetPid?: number
  nodeName: string
  clusterDomain: string
  nodeMemoryBytes: number
  annotations?: ContainerSpec['annotations']
  /** Containers that name no seccomp profile have RuntimeDefault. */
  seccompDefault?: boolean | undefined
}

/** `command` replaces the image's entrypoint and its cmd with it; `args` alone replaces the cmd. */
export function commandLine(container: Container | EphemeralContainer, image: ImageConfig, env: ReadonlyMap<string, string>): string[] {
  const expanded = (words: readonly string[] | undefined): string[] => (words ?? []).map(w => expand(w, name => env.get(name)))
  const [command, args] = [expanded(container.command), expanded(container.args)]
  if (command.length > 0) return [...command, ...args]
  return [...image.entrypoint, ...(args.length > 0 ? args : image.cmd)]
}

/** The user of an image's USER, its group left away: a number, or a name that nobody has looked up. None is root. */
function imageUser({ user }: ImageConfig): number | string {
  const [name = ''] = user.split(':')
  return name === '' ? 0 : /^\d+$/.test(name) ? Number(name) : name
}
const MAX_UID = 2 ** 31 - 1

/** Throws in upstream's words when the container must not run as root and would. */
export function verifyNonRoot(pod: Pod, container: Container | EphemeralContainer, image: ImageConfig): void {
  const own = container.securityContext
  if (!(own?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot)) return
  const where = `(pod: "${podText(pod)}", container: ${container.name})`
  const uid = own?.runAsUser ?? pod.spec.securityContext?.runAsUser
  if (uid !== undefined) {
    if (uid === 0) throw new Error(`container's runAsUser breaks non-root policy ${where}`)
    return
  }
  const user = imageUser(image)
  if (typeof user === 'string')
    throw new Error(`container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root ${where}`)
  if (user === 0) throw new Error(`container has runAsNonRoot and image will run as root ${where}`)
  if (user > MAX_UID)
    throw new Error(
      `container has runAsNonRoot and image has an invalid user id (${user}). (Must be 1-(${MAX_UID})): must be between 0 and ${MAX_UID}, inclusive ${where}`,
    )
}

function seccompOf(profile: SeccompProfile | undefined, byDefault = false): Pick<ContainerSpec, 'seccomp'> {
  if (profile === undefined && byDefault) return { seccomp: { type: 'RuntimeDefault' } }
  if (profile === undefined || profile.type === 'Unconfined') return {}
  return {
    seccomp: profile.type === 'Localhost' ? { type: 'Localhost', profile: profile.localhostProfile ?? '' } : { type: 'RuntimeDefault' },
  }
}

const withSharedMemory = (mounts: ContainerMount[], shm: string | undefined): ContainerMount[] =>
  shm === undefined || mounts.some(m => m.destination === '/dev/shm')
    ? mounts
    : [...mounts, { destination: '/dev/shm', source: shm, readOnly: false, propagation: 'private' }]

/** As the runtime is told of them. */
export const namespacesOf = ({ ipc, uts, user }: PodNamespaces = {}): Pick<
  ContainerSpec,
  'ipcNamespace' | 'utsNamespace' | 'userNamespace'
> => ({
  ...(ipc ? { ipcNamespace: ipc } : {}),
  ...(uts ? { utsNamespace: uts } : {}),
  ...(user ? { userNamespace: user } : {}),
})

export function containerSpec(input: SpecInput): ContainerSpec {
  const { pod, container, image, env } = input
  const own = container.securityContext
  const shared = pod.spec.securityContext
  const { hostname } = podHostname(pod, input.nodeName, input.clusterDomain)
  // The image's variables come first: the pod's replace them.
  const names = new Set(env.keys())
  const imageEnv = image.env.filter(e => !names.has(e.split('=')[0]!))
  const merged = new Map([...imageEnv.map(e => [e.slice(0, e.indexOf('=')), e.slice(e.indexOf('=') + 1)] as const), ...env])
  if (!merged.has('HOSTNAME')) merged.set('HOSTNAME', hostname)
  const uid = own?.runAsUser ?? shared?.runAsUser
  const gid = own?.runAsGroup ?? shared?.runAsGroup
  const appArmor = appArmorProfile(pod, container)
  return {
    id: input.id,
    directory: input.directory,
    ...(input.handler ? { handler: input.handler } : {}),
    image,
    args: commandLine(container, image, env),
    env: [...merged].map(([name, value]) => `${name}=${value}`),
    workingDir: container.workingDir || image.workingDir || '/',
    user: {
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      supplementalGroups: [...(shared?.fsGroup === undefined ? [] : [shared.fsGroup]), ...(shared?.supplementalGroups ?? [])],
      ...(shared?.supplementalGroupsPolicy === 'Strict' ? { supplementalGroupsPolicy: 'Strict' as const } : {}),
    },
    hostname,
    mounts: withSharedMemory(input.mounts, input.namespaces?.shm),
    logPath: input.logPath,
    networkNamespace: input.networkNamespace,
    hostPID: pod.spec.hostPID ?? false,
    ...(input.targetPid === undefined ? {} : { pidNamespaceOf: input.targetPid }),
    hostIPC: pod.spec.hostIPC ?? false,
    ...namespacesOf(input.namespaces),
    // As with containerd: who has the node's network has its name.
    ...(pod.spec.hostNetwork ? { utsNamespace: 'node' } : {}),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    privileged: own?.privileged ?? false,
    readOnlyRootFilesystem: own?.readOnlyRootFilesystem ?? false,
    allowPrivilegeEscalation: own?.allowPrivilegeEscalation ?? true,
    ...seccompOf(own?.seccompProfile ?? shared?.seccompProfile, input.seccompDefault),
    ...(appArmor?.type === 'Localhost' ? { appArmorProfile: appArmor.localhostProfile ?? '' } : {}),
    ...(own?.procMount === 'Unmasked' ? { unmaskedProc: true } : {}),
    capabilities: { add: own?.capabilities?.add ?? [], drop: own?.capabilities?.drop ?? [] },
    sysctls: Object.fromEntries((shared?.sysctls ?? []).map(s => [s.name, s.value])),
    ...(input.annotations && Object.keys(input.annotations).length > 0 ? { annotations: input.annotations } : {}),
    resources: kernelResources(withinPod(container.resources, pod.spec.resources?.limits)),
    oomScoreAdj: oomScoreAdjust(pod, container, input.nodeMemoryBytes),
    cgroup: `${podCgroup(pod)}/${input.id}`,
  }
}
