/**
 * Namespaces of the kernel that the containers of a pod share beside its network: that of messages and shared memory with its /dev/shm and
 * that of the host name, when there are several of them, and that of users (hostUsers: false). In the pod's directory, as long as it has a
 * network:
 *
 *     ns/ipc ns/uts ns/user     the namespaces, mounted
 *     ns/shm/                   what they see as /dev/shm
 *     ns/users.json             {first, size}: who its users are on the node
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { holdNamespaces, mapIds, pinNamespace, type IdRange } from '#shared/linux/namespaces.ts'
import { run } from '#shared/linux/run.ts'
import type { PodContext } from '../context.ts'
import { initContainers } from './containers.ts'
import { podsDirectory } from './directory.ts'
import { podHostname } from './files.ts'

export interface PodNamespaces {
  /** Paths; absent: each container has its own. */
  ipc?: string
  shm?: string
  uts?: string
  user?: { path: string } & IdRange
}

const directoryOf = (root: string): string => join(root, 'ns')
const usersFile = (root: string): string => join(directoryOf(root), 'users.json')

/** As many as upstream's kubelet gives every pod. */
const usualIds = 65_536
/** Names the host `$1`. Where /proc/sys is read-only, as in containers, there is the system call. */
const setName = 'hostname "$1" 2>/dev/null || printf %s "$1" >/proc/sys/kernel/hostname'

/** Numbers below 2^31: the first pod's begin where those of the node's own users end. */
const rangesOf = (size: number): number => Math.floor(2 ** 31 / size) - 1

function readUsers(root: string): IdRange | undefined {
  try {
    return JSON.parse(readFileSync(usersFile(root), 'utf8')) as IdRange
  } catch {
    return undefined
  }
}

/** The users of a pod, no other pod's of the node: noted in one go, before there is anything that belongs to them. */
function usersOf({ kubelet, directory }: PodContext): IdRange {
  const known = readUsers(directory.root)
  if (known) return known
  const pods = podsDirectory(kubelet.rootDir)
  // Earlier ones may be of another size.
  const taken = readdirSync(pods).flatMap(uid => readUsers(join(pods, uid)) ?? [])
  const size = kubelet.security?.idsPerPod ?? usualIds
  const ranges = rangesOf(size)
  // Nodes that share a machine do not know of each other's.
  for (let at = Math.floor(Math.random() * ranges), n = 0; n < ranges; n++) {
    const first = size * (1 + ((at + n) % ranges))
    if (taken.some(t => first < t.first + t.size && t.first < first + size)) continue
    mkdirSync(directoryOf(directory.root), { recursive: true, mode: 0o750 })
    writeFileSync(usersFile(directory.root), JSON.stringify({ first, size }))
    return { first, size }
  }
  throw new Error('could not allocate a range of users: all are taken')
}

/**
 * Makes those that the pod needs, or finds them again. Rejects in upstream's words when it wants users of its own and the handler cannot
 * give them.
 */
export async function ensureNamespaces(ctx: PodContext, handler: string): Promise<PodNamespaces> {
  const { pod, kubelet, directory } = ctx
  const features = kubelet.runtime.handlers.get(handler)
  if (features?.isolated !== true) return {}
  const wantsUsers = pod.spec.hostUsers === false
  if (wantsUsers && !features.userNamespaces)
    throw new Error(
      `can't set \`spec.hostUsers: false\`, ${handler === '' ? 'runtime' : `RuntimeClass handler ${JSON.stringify(handler)}`} does not support user namespaces`,
    )
  const several = initContainers(pod).length + pod.spec.containers.length > 1
  const wantsIPC = several && !pod.spec.hostIPC
  const wantsUTS = several && !pod.spec.hostNetwork
  if (!wantsUsers && !wantsIPC && !wantsUTS) return pod.spec.hostIPC ? { shm: '/dev/shm' } : {}
  const at = directoryOf(directory.root)
  const [ipc, uts, user, shm] = ['ipc', 'uts', 'user', 'shm'].map(name => join(at, name)) as [string, string, string, string]
  const users = wantsUsers ? usersOf(ctx) : undefined
  const found = {
    ...(wantsIPC ? { ipc, shm } : pod.spec.hostIPC ? { shm: '/dev/shm' } : {}),
    ...(wantsUTS ? { uts } : {}),
    ...(users ? { user: { path: user, ...users } } : {}),
  }
  const wanted = [...(wantsIPC ? [ipc, shm] : []), ...(wantsUTS ? [uts] : []), ...(users ? [user] : [])]
  const mounted = new Set((await listMounts()).map(m => m.target))
  if (wanted.every(path => mounted.has(path))) return found
  // Some of them, from a kubelet that died at it.
  await unmount(wanted)
  await mkdir(shm, { recursive: true, mode: 0o750 })
  await Promise.all([ipc, uts, user].map(file => writeFile(file, '')))
  const { hostname } = podHostname(pod, kubelet.nodeName, kubelet.names.domain)
  const named = wantsUTS ? ['sh', '-c', setName, 'sh', hostname] : ['true']
  if (users) {
    const holder = await holdNamespaces(['unshare', '--user', '--ipc', '--uts'])
    try {
      await mapIds(holder.pid, users)
      if (wantsIPC) await pinNamespace(holder.pid, 'ipc', ipc)
      if (wantsUTS) {
        await run('nsenter', [`--uts=/proc/${holder.pid}/ns/uts`, '--', ...named])
        await pinNamespace(holder.pid, 'uts', uts)
      }
      await pinNamespace(holder.pid, 'user', user)
    } finally {
      await holder.release()
    }
  } else await run('unshare', [...(wantsIPC ? [`--ipc=${ipc}`] : []), ...(wantsUTS ? [`--uts=${uts}`] : []), '--', ...named])
  if (wantsIPC) await mount('tmpfs', 'shm', shm, ['nosuid', 'nodev', 'noexec', 'mode=1777', 'size=65536k'])
  return found
}

/** Idempotent. */
export async function removeNamespaces(root: string): Promise<void> {
  const at = directoryOf(root)
  if (!existsSync(at)) return
  await unmount((await listMounts()).map(m => m.target).filter(target => target.startsWith(`${at}/`)))
  await rm(at, { recursive: true, force: true })
}
