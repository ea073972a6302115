/** subPath of a volume mount: a place inside the volume, never outside of it. */
import { mkdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'

const outside = (subPath: string): Error => new Error(`subPath ${JSON.stringify(subPath)} leads out of its volume`)

/** The real path of `subPath` in the volume; directories that are missing are made. Throws when links lead out of the volume. */
export async function resolveSubPath(volumePath: string, subPath: string): Promise<string> {
  if (subPath.startsWith('/') || subPath.split('/').includes('..')) throw outside(subPath)
  const root = await realpath(volumePath)
  const within = (path: string): boolean => path === root || path.startsWith(`${root}/`)
  const { mode } = await stat(root)
  let at = root
  for (const part of subPath.split('/').filter(p => p !== '' && p !== '.')) {
    const next = join(at, part)
    const real = await realpath(next).catch(() => undefined)
    if (real === undefined) {
      await mkdir(next, { mode: mode & 0o7777 })
      at = next
      continue
    }
    if (!within(real)) throw outside(subPath)
    at = real
  }
  return at
}
