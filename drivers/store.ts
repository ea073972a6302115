/**
 * Volumes and snapshots as directories, `<kind>/<id>/` with `meta.json` beside their data. Processes of several nodes of a machine share
 * them: whatever is there by its name is whole, because it was made under another one.
 */
import { mkdir, readFile, readdir, rename, rm, statfs, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Code, RpcError } from '#shared/grpc/rpc.ts'

export interface Meta {
  id: string
  bytes: number
  zone?: string
  /** Of a volume: what it began with. Of a snapshot: the volume. */
  source?: { snapshot?: string; volume?: string }
  /** How much is read ahead of a device; the kernel's own choice when absent. */
  readAheadKB?: number
  /** RFC 3339. */
  created: string
}

const safe = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/
/** A name as that of a directory. Throws InvalidArgument. */
export function checked(id: string | undefined, what: string): string {
  if (!id) throw new RpcError(Code.invalidArgument, `${what} is missing`)
  if (!safe.test(id)) throw new RpcError(Code.invalidArgument, `${what} ${JSON.stringify(id.slice(0, 100))} is none of this driver's`)
  return id
}

export interface Store {
  /** Where it is, once it is there. */
  pathOf(id: string): string
  get(id: string): Promise<Meta | undefined>
  list(): Promise<Meta[]>
  /** Makes it, unless it is there: `fill` gets a directory for its data. Resolves with what is there then. */
  make(meta: Meta, fill: (directory: string) => Promise<void>): Promise<Meta>
  update(meta: Meta): Promise<void>
  /** Idempotent. */
  remove(id: string): Promise<void>
}

export function store(root: string): Store {
  const pathOf = (id: string): string => join(root, id)
  const metaOf = (directory: string): string => join(directory, 'meta.json')
  const isGone = (e: unknown): boolean => (e as NodeJS.ErrnoException).code === 'ENOENT'
  async function get(id: string): Promise<Meta | undefined> {
    try {
      return JSON.parse(await readFile(metaOf(pathOf(id)), 'utf8')) as Meta
    } catch (e) {
      if (isGone(e)) return undefined
      throw e
    }
  }
  const write = async (directory: string, meta: Meta): Promise<void> => {
    const fresh = `${metaOf(directory)}.${randomUUID()}`
    await writeFile(fresh, JSON.stringify(meta))
    await rename(fresh, metaOf(directory))
  }
  return {
    pathOf,
    get,
    async list() {
      const names = await readdir(root).catch((e: unknown) => (isGone(e) ? [] : Promise.reject(e)))
      const all = await Promise.all(names.filter(name => !name.startsWith('.')).map(get))
      return all.filter(m => m !== undefined).sort((a, b) => (a.id < b.id ? -1 : 1))
    },
    async make(meta, fill) {
      const known = await get(meta.id)
      if (known) return known
      const fresh = join(root, `.new-${randomUUID()}`)
      await mkdir(fresh, { recursive: true, mode: 0o711 })
      try {
        await fill(fresh)
        await write(fresh, meta)
        await rename(fresh, pathOf(meta.id))
        return meta
      } catch (e) {
        await rm(fresh, { recursive: true, force: true })
        // Another process was first.
        const made = await get(meta.id)
        if (made) return made
        throw e
      }
    },
    update: meta => write(pathOf(meta.id), meta),
    async remove(id) {
      const leaving = join(root, `.old-${randomUUID()}`)
      try {
        await rename(pathOf(id), leaving)
      } catch (e) {
        if (!isGone(e)) throw e
      }
      await rm(leaving, { recursive: true, force: true })
    },
  }
}

/** Bytes that are free where volumes are. */
export async function freeBytes(directory: string): Promise<number> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** One thing at a time happens to a volume in this process. */
export function turns(): <T>(id: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()
  return (id, work) => {
    const turn = (last.get(id) ?? Promise.resolve()).then(work, work)
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (last.get(id) === settled) last.delete(id)
      })
    last.set(id, settled)
    return turn
  }
}
