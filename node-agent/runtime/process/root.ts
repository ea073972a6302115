/** A container's root: the directory its process starts in. What the pod mounts is linked there, at the same path below it. */
import { existsSync, statSync } from 'node:fs'
import { link as hardLink, mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ContainerMount } from '../runtime.ts'

/** `/var/lib/data` is COXSWAIN_MOUNT_VAR_LIB_DATA in the environment. */
export const mountVariable = (path: string): string =>
  `COXSWAIN_MOUNT_${path
    .replace(/^\/+|\/+$/g, '')
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')}`

/** A mount inside of another one has no place of its own: the outer one is a link to somebody's directory. */
export const isNested = (path: string, all: readonly string[]): boolean =>
  all.some(other => other !== path && path.startsWith(`${other.replace(/\/+$/, '')}/`))

/**
 * Makes the root and its links. Resolves with the variables that name the mounts: the link's path, or the source's where there can be no
 * link.
 */
export async function makeRoot(root: string, mounts: readonly ContainerMount[]): Promise<Record<string, string>> {
  await mkdir(join(root, 'tmp'), { recursive: true })
  const variables: Record<string, string> = {}
  const paths = mounts.map(m => m.destination)
  for (const { destination, source } of mounts) {
    const link = join(root, destination)
    if (source === undefined) await mkdir(link, { recursive: true })
    else if (!existsSync(source)) throw new Error(`failed to mount ${destination}: ${source}: no such file or directory`)
    const nested = source !== undefined && (destination === '/' || isNested(destination, paths))
    if (source !== undefined && !nested) {
      await mkdir(dirname(link), { recursive: true })
      await place(source, link)
    }
    variables[mountVariable(destination)] = nested ? source : link
  }
  return variables
}

/** A single file stays the one it was when its name gets another, as one that is mounted does: a hard link, where it can be had. */
async function place(source: string, at: string): Promise<void> {
  if (statSync(source).isFile()) {
    const linked = await hardLink(source, at).then(
      () => true,
      () => false,
    )
    if (linked) return
  }
  await symlink(source, at)
}
