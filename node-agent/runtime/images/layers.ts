/**
 * Unpacked layers, each once on the machine, for overlayfs.
 *
 *     layers/<id>/fs            the files
 *     layers/<id>/layer.json    what is known of it: written last
 *     layers/<id>/lock          who has it mounted holds this, shared
 *     layers/<id>/synced        there when all of it is on the disk
 *     layers/<id>.new           being unpacked, under the content store's lock
 *
 * A layer is known by its chain: what it is and what lies below it, for it may have links to files below.
 */
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { access, mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tryLockFile } from '#shared/linux/flock.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import { commandPath } from '#shared/linux/run.ts'
import { hexOf, type ContentStore } from './content.ts'
import type { LowerLayer } from './lowerlayers.ts'
import { unpackLayer } from './unpack.ts'

interface LayerRecord {
  chain: string
  /** The chain of the layer below; absent of the lowest. */
  parent?: string
  diffId: string
  opaque: string[]
  usedBytes: number
  inodesUsed: number
  /** In which it was unpacked: what was not synced counts until the machine goes down. */
  boot: string
}

export interface Layers {
  /** Where a layer lies, or would; the names are short, for mount's options have room for 4 KiB. */
  directory(chain: string): string
  has(chain: string): Promise<boolean>
  /** Unpacks one layer, unless that is done; those below it must be. Rejects as unpackLayer. */
  unpack(layer: { chain: string; below: readonly string[]; diffId: string; blob: string }, signal?: AbortSignal): Promise<void>
  /** The layers, the topmost first, as far as they show. `chains`: the lowest first. */
  stack(chains: readonly string[]): Promise<LowerLayer[]>
  /** Whether a container has this mounted as its topmost layer. */
  inUse(chain: string): Promise<boolean>
  /** Removes all but these, what lies below them and what is mounted. Resolves with bytes. */
  prune(needed: ReadonlySet<string>): Promise<number>
  usage(): Promise<{ usedBytes: number; inodesUsed: number }>
}

/** https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid: of each layer, the lowest first. */
export function chainsOf(diffIds: readonly string[]): string[] {
  const chains: string[] = []
  for (const diffId of diffIds) {
    const below = chains.at(-1)
    chains.push(below === undefined ? diffId : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`)
  }
  return chains
}

/** 128 of the digest's bits. */
const idOf = (chain: string): string => Buffer.from(hexOf(chain).slice(0, 32), 'hex').toString('base64url')
const lockOf = (id: string): string => Buffer.from(id, 'base64url').toString('hex')

export async function openLayers(content: ContentStore): Promise<Layers> {
  const root = join(content.directory, 'layers')
  // What images bring may be set-user-ID: nobody but root runs it from here.
  await mkdir(root, { recursive: true, mode: 0o700 })
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  const directory = (chain: string): string => join(root, idOf(chain))

  /** Rejects when that cannot be told now: what lies below a layer must not be taken for unneeded. */
  async function read(id: string): Promise<LayerRecord | undefined> {
    try {
      const record = JSON.parse(await readFile(join(root, id, 'layer.json'), 'utf8')) as LayerRecord
      return record.boot === boot || existsSync(join(root, id, 'synced')) ? record : undefined
    } catch (e) {
      if (e instanceof SyntaxError || ['ENOENT', 'ENOTDIR'].includes((e as NodeJS.ErrnoException).code ?? '')) return undefined
      throw e
    }
  }
  const has = async (chain: string): Promise<boolean> => (await read(idOf(chain))) !== undefined

  async function unpack(layer: Parameters<Layers['unpack']>[0], signal?: AbortSignal): Promise<void> {
    const { chain, below, diffId, blob } = layer
    const [at, fresh] = [directory(chain), `${directory(chain)}.new`]
    if (await has(chain)) return
    await content.locked(hexOf(chain), signal, async () => {
      if (await has(chain)) return
      await Promise.all([removeTree(at), removeTree(fresh)])
      await mkdir(fresh, { mode: 0o700 })
      try {
        const lowers: LowerLayer[] = []
        for (const under of [...below].reverse()) {
          const record = await read(idOf(under))
          if (record === undefined) throw new Error(`the layer ${under} below ${chain} is not unpacked`)
          lowers.push({ directory: join(directory(under), 'fs'), opaque: record.opaque })
        }
        const unpacked = await unpackLayer({ file: content.blobPath(blob), digest: blob, diffId }, fresh, lowers, signal)
        const parent = below.at(-1)
        const record: LayerRecord = { chain, ...(parent === undefined ? {} : { parent }), diffId, ...unpacked, boot }
        await writeFile(join(fresh, 'lock'), '', { mode: 0o600 })
        await writeFile(join(fresh, 'layer.json'), JSON.stringify(record), { mode: 0o600 })
        await rename(fresh, at)
      } catch (error) {
        await removeTree(fresh)
        throw error
      }
      syncLater(at)
    })
  }

  async function prune(needed: ReadonlySet<string>): Promise<number> {
    const names = await readdir(root)
    const records = new Map<string, LayerRecord | undefined>()
    for (const name of names) {
      if (name.startsWith('trash.')) await removeTree(join(root, name))
      else if (name.endsWith('.new')) await removeUnpacking(name)
      else records.set(name, await read(name))
    }
    const kept = new Set<string>()
    const keep = (chain: string | undefined): void => {
      for (let at = chain; at !== undefined && !kept.has(idOf(at)); at = records.get(idOf(at))?.parent) kept.add(idOf(at))
    }
    for (const chain of needed) keep(chain)
    let freed = 0
    // What lies on others goes before them.
    for (let left = [...records.keys()].filter(id => !kept.has(id)); left.length > 0;) {
      const parents = new Set(
        left
          .map(id => records.get(id)?.parent)
          .filter(p => p !== undefined)
          .map(idOf),
      )
      const tops = left.filter(id => !parents.has(id))
      for (const id of tops) {
        if (await removeUnused(id)) freed += records.get(id)?.usedBytes ?? 0
        else {
          kept.add(id)
          keep(records.get(id)?.parent)
        }
      }
      left = left.filter(id => !tops.includes(id) && !kept.has(id))
    }
    return freed
  }

  async function removeUnpacking(name: string): Promise<void> {
    const lock = await tryLockFile(join(content.directory, 'locks', lockOf(name.slice(0, -'.new'.length)).slice(0, 3)))
    if (lock === undefined) return
    await removeTree(join(root, name)).finally(() => lock.release())
  }

  /** False when it is mounted. Who is about to mount it finds that it is gone, and says so. */
  async function removeUnused(id: string): Promise<boolean> {
    const file = join(root, id, 'lock')
    const lock = existsSync(file) ? await tryLockFile(file) : { release: () => Promise.resolve() }
    if (lock === undefined) return false
    const trash = join(root, `trash.${randomUUID()}`)
    await rename(join(root, id), trash).finally(() => lock.release())
    await removeTree(trash)
    return true
  }

  return {
    directory,
    has,
    unpack,
    prune,
    async stack(chains) {
      const shown: LowerLayer[] = []
      for (const chain of [...chains].reverse()) {
        const opaque = (await read(idOf(chain)))?.opaque ?? []
        shown.push({ directory: join(directory(chain), 'fs'), opaque })
        // Everything below is hidden.
        if (opaque.includes('')) break
      }
      return shown
    },
    async inUse(chain) {
      const file = join(directory(chain), 'lock')
      if (
        !(await access(file).then(
          () => true,
          () => false,
        ))
      )
        return false
      const lock = await tryLockFile(file)
      await lock?.release()
      return lock === undefined
    },
    async usage() {
      const records = await Promise.all((await readdir(root)).map(read))
      return records.reduce(
        (sum, record) => ({
          usedBytes: sum.usedBytes + (record?.usedBytes ?? 0),
          inodesUsed: sum.inodesUsed + (record?.inodesUsed ?? 0),
        }),
        { usedBytes: 0, inodesUsed: 0 },
      )
    },
  }
}

/** Nobody waits for the disk; a power failure before costs another unpacking. It goes on without us. */
function syncLater(directory: string): void {
  const child = spawn('sh', ['-c', 'sync -f "$1/fs" && : >"$1/synced"', 'sh', directory], {
    stdio: 'ignore',
    detached: true,
    cwd: '/',
    env: { PATH: commandPath },
  })
  child.on('error', () => {})
  child.unref()
}
