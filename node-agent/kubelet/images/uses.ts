/**
 * Which images the nodes of a machine use: a file a node, with an ID a line. A container that runs keeps its image by itself; one that
 * waits for its restart would lose it, if it is another node that clears up.
 */
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface ImageUses {
  /** What this node uses. Rejects when that cannot be written down. */
  tell(ids: ReadonlySet<string>): Promise<void>
  /** What the others use. */
  others(): Promise<Set<string>>
}

/** Each node tells every five minutes; one that has not for longer is gone, or something with more to do than images. */
const freshMs = 16 * 60_000

/** `node`: its name, which is one for files, too. */
export function imageUses(directory: string, node: string): ImageUses {
  return {
    async tell(ids) {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const file = join(directory, node)
      await writeFile(`${file}.new`, [...ids].map(id => `${id}\n`).join(''), { mode: 0o600 })
      await rename(`${file}.new`, file)
    },
    async others() {
      const found = new Set<string>()
      for (const name of await readdir(directory).catch(() => [])) {
        const file = join(directory, name)
        if (name === node || name.endsWith('.new')) continue
        const age = Date.now() - ((await stat(file).catch(() => undefined))?.mtimeMs ?? 0)
        if (age > freshMs) await rm(file, { force: true })
        else for (const id of (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean)) found.add(id)
      }
      return found
    },
  }
}
