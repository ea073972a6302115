/** Has the images of a container's image volumes pulled, with upstream's events and reasons, and their files mounted. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import type { ImageRoot } from '../../runtime/images/imagestore.ts'
import type { PodContext } from '../context.ts'
import type { TypedContainer } from '../pod/containers.ts'
import { ensureImage } from './ensure.ts'

interface MountedImage {
  id: string
  /** The file whose shared flock keeps the layers there. */
  lock?: string
}

/** Beside the volume; no name of a volume has a dot. */
const recordOf = (path: string): string => `${path}.image`

async function readRecord(path: string): Promise<MountedImage | undefined> {
  const text = await readFile(recordOf(path), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as MountedImage)
}

/** What a container that mounts the volume at `path` has to hold. */
export const imageVolumeLock = async (path: string): Promise<string | undefined> => (await readRecord(path))?.lock

/** Whether it is mounted, and its layers have not been removed: nothing held them while no container ran. */
async function isMounted(path: string): Promise<boolean> {
  if (!(await listMounts()).some(m => m.target === path)) return false
  const record = await readRecord(path)
  if (record !== undefined && (record.lock === undefined || existsSync(record.lock))) return true
  await unmount([path])
  return false
}

async function mountImage(path: string, id: string, root: ImageRoot): Promise<void> {
  const record: MountedImage = { id, ...(root.lock === undefined ? {} : { lock: root.lock }) }
  await writeFile(recordOf(path), JSON.stringify(record))
  // An overlay that nothing can be written to has two layers at least.
  const empty = `${path}.empty`
  await mkdir(empty, { recursive: true })
  const store = dirname(dirname(root.layers[0]?.directory ?? empty))
  // Short names: the options of a mount have room for 4 KiB, and an image may have a hundred layers.
  const layers = [...root.layers.map(layer => relative(store, layer.directory)), empty]
  if (layers.some(layer => /[:,\\]/.test(layer))) throw new Error(`the path ${empty} has characters that no overlay may have`)
  await run('mount', ['-t', 'overlay', '-o', `ro,nosuid,nodev,noexec,lowerdir=${layers.join(':')}`, 'image', path], { cwd: store })
}

/** Something on the node must change; nothing tells of that. */
const retryMs = 15_000

/** Resolves when the image volumes that the container mounts are there. 'pulling' and 'waiting' as of ensureImage. */
export async function ensureImageVolumes(ctx: PodContext, typed: TypedContainer): Promise<'pulling' | 'waiting' | void> {
  for (const { name, image } of ctx.pod.spec.volumes ?? []) {
    if (!image || !typed.container.volumeMounts?.some(m => m.name === name)) continue
    const path = ctx.volumes.path(name)
    if (path === undefined || (await isMounted(path))) continue
    const reference = image.reference ?? ''
    const ensured = await ensureImage(ctx, typed, { name: reference, policy: image.pullPolicy, volume: name })
    if (ensured === 'pulling' || ensured === 'waiting') return ensured
    try {
      if (!ensured.root) throw new Error(`${reference} is a host image, which has no files of its own`)
      await mountImage(path, ensured.id, ensured.root)
    } catch (e) {
      const message = `failed to mount image volume ${JSON.stringify(name)}: ${(e as Error).message}`
      ctx.live(typed.container.name).waiting = { reason: 'CreateContainerError', message }
      ctx.event('Warning', 'Failed', `Error: ${message}`, typed)
      ctx.kickIn(retryMs)
      return 'waiting'
    }
  }
}
