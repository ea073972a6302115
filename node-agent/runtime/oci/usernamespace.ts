/**
 * Containers in a user namespace: what they see on disk belongs to users of the node that they do not have. The kernel shows it as theirs
 * through mounts that map ids, which only a system call makes; a small process of its own does that (idmap.ts), in the mount namespace of
 * the container's conmon, so that nothing is left to unmount. Paths on the way there must be open to all: the places are below /run.
 */
import { chown, mkdir, readFile, stat, statfs, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ContainerMount, ContainerSpec } from '../runtime.ts'
import type { ContainerRoot } from './rootfs.ts'

/** In the conmon's mount namespace a tmpfs, elsewhere empty. */
export const places = '/run/coxswain/userns'
export const rootPlace = `${places}/root`

/** What idmap.ts is told. */
export interface MountPlan {
  /** The user namespace whose ids are mapped. */
  userNamespace: string
  places: string
  /** First. Below `places`. */
  mapped: { source: string; target: string }[]
  /** Names of layers begin in `places`. */
  overlays: { target: string; options: string }[]
}

/** File systems whose mounts can map ids, by the numbers that statfs gives them: ext4, xfs, btrfs, tmpfs, f2fs, erofs. */
const capable = [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010, 0xe0f5e1e2]

/** Whether the kernel can do it, and the file systems of these directories; from Linux 6.3 on tmpfs can. */
export async function userNamespacesSupported(directories: readonly string[]): Promise<boolean> {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  if (major < 6 || (major === 6 && minor < 3)) return false
  const most = Number(await readFile('/proc/sys/user/max_user_namespaces', 'utf8').catch(() => '0'))
  const kinds = await Promise.all(directories.map(path => statfs(path).then(s => s.type)))
  return most > 0 && kinds.every(kind => capable.includes(kind))
}

/** Splits at a character that no backslash precedes. */
const split = (text: string, at: string): string[] => text.match(new RegExp(`(?:\\\\.|[^\\\\${at}])+`, 'g')) ?? []
const unescape = (text: string): string => text.replace(/\\(.)/g, '$1')

/**
 * Plans the mounts of a container in the bundle `directory`, and gives what it may write to its own users. Resolves with the command that
 * makes them in the mount namespace that it is run in, and the container's own mounts with their new sources.
 */
export async function planMounts(
  directory: string,
  root: ContainerRoot,
  mounts: readonly ContainerMount[],
  user: NonNullable<ContainerSpec['userNamespace']>,
): Promise<{ command: string[]; mounts: ContainerMount[] }> {
  if (mounts.some(m => m.propagation === 'rshared'))
    throw new Error('mountPropagation Bidirectional is not for pods with users of their own')
  const mapped: MountPlan['mapped'] = []
  const place = (source: string): string => {
    const name = String(mapped.length)
    mapped.push({ source, target: join(places, name) })
    return name
  }
  const owned: string[] = []
  const overlay = (options: readonly string[]): string =>
    options
      .map(option => {
        const [name, value] = [option.slice(0, option.indexOf('=')), option.slice(option.indexOf('=') + 1)]
        // Names of layers begin in `from`; in the plan, among the places.
        if (name === 'lowerdir') return `lowerdir=${split(value, ':').map(layer => place(resolve(root.from, unescape(layer)))).join(':')}` // prettier-ignore
        if (name === 'upperdir') owned.push(unescape(value))
        return option
      })
      .join(',')
  // What an image says of its volumes' places may lead anywhere: the runtime finds them, in the container's root.
  const volumes = root.volumes
    .filter(v => !mounts.some(m => m.destination === v.destination))
    .map(({ destination, options }, n) => ({ destination, target: join(places, `volume-${n}`), options: overlay(options) }))
  const overlays = [
    { target: rootPlace, options: overlay(split(root.overlay, ',')) },
    ...root.trees.map(({ destination, options }) => ({ target: `${rootPlace}${destination}`, options: overlay(options) })),
    ...volumes.map(({ target, options }) => ({ target, options })),
  ]
  const moved = [
    ...volumes.map(({ destination, target }) => ({ destination, source: target, readOnly: false, propagation: 'private' as const })),
    ...mounts.map(m => (m.source === undefined ? m : { ...m, source: join(places, place(m.source)) })),
  ]
  // Commands in a container begin there, before they enter it: empty for them.
  await mkdir(rootPlace, { recursive: true })
  for (const path of owned) {
    const { uid, gid } = await stat(path)
    await chown(path, user.first + uid, user.first + gid)
  }
  const plan = join(directory, 'mounts.json')
  await writeFile(plan, JSON.stringify({ userNamespace: user.path, places, mapped, overlays } satisfies MountPlan))
  return { command: [process.execPath, '--no-warnings', '--experimental-ffi', program, plan], mounts: moved }
}

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './idmap.ts' : './idmap.js', import.meta.url))
