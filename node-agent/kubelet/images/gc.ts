/**
 * Removes images that nothing uses when their disk fills up, or when they have been unused for long, as upstream's image garbage
 * collection: those first that were used longest ago.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-lifecycle
 */
import { sleep } from '#shared/client/backoff.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ImageService, ImageSummary } from '../../runtime/imageservice.ts'
import { collectedImages } from '../metrics.ts'
import type { ImageUses } from './uses.ts'

export interface ImageGCPolicy {
  /** Of the disk: from where on images go, and until it is no more than that. */
  highThresholdPercent: number
  lowThresholdPercent: number
  /** An image is not removed before it has been there for so long, ms: a pod may be about to start. */
  minimumAgeMs: number
  /** One that has been unused for longer goes anyway; 0: none does. */
  maximumAgeMs: number
}

export interface ImageGCOptions {
  policy: ImageGCPolicy
  images: Pick<ImageService, 'list' | 'remove'>
  uses: ImageUses
  /** IDs of images that containers of this node have. */
  inUse: () => Iterable<string>
  /** The disk that images are on, in bytes. */
  disk: () => { capacity: number; available: number }
  /** What is left on the node of an image that is gone. */
  forget?: (image: ImageSummary) => Promise<unknown>
  recorder: EventRecorder
  nodeName: string
  log: Logger
  now?: () => number
}

export interface ImageGC {
  /** One look. Rejects with what upstream's event ImageGCFailed says. */
  collect(): Promise<void>
  /** Removes every image that nothing uses and that is old enough; resolves with their bytes. */
  removeUnused(): Promise<number>
  keep(signal: AbortSignal): Promise<void>
}

/** As upstream: nothing tells how full a disk is. */
const periodMs = 300_000

interface Seen {
  image: ImageSummary
  firstDetected: number
  lastUsed: number
}

export function imageGC(options: ImageGCOptions): ImageGC {
  const { policy, images, uses, disk, recorder, log, now = Date.now } = options
  const subject = { apiVersion: 'v1', kind: 'Node', metadata: { name: options.nodeName, uid: options.nodeName } }
  const records = new Map<string, Seen>()
  const began = now()
  let looked = false

  /** Looks at what is there. Images that were there before are of unknown age. */
  async function detect(at: number): Promise<Seen[]> {
    const using = new Set(options.inUse())
    const listed = (await images.list()).filter(({ id }) => !id.startsWith('host-image://'))
    const own = listed.filter(image => using.has(image.id) || image.names.some(name => using.has(name)))
    await uses.tell(new Set(own.map(({ id }) => id)))
    const others = await uses.others()
    const there = new Set(listed.map(({ id }) => id))
    for (const id of records.keys()) if (!there.has(id)) records.delete(id)
    for (const image of listed) {
      const known = records.get(image.id)
      const used = others.has(image.id) || own.includes(image)
      const firstDetected = known?.firstDetected ?? (looked ? at : 0)
      records.set(image.id, { image, firstDetected, lastUsed: used ? at : (known?.lastUsed ?? 0) })
    }
    looked = true
    return [...records.values()].sort((a, b) => a.lastUsed - b.lastUsed || a.firstDetected - b.firstDetected)
  }

  async function remove({ image }: Seen): Promise<boolean> {
    await images.remove(image.id)
    // A container of another node may have it.
    if ((await images.list()).some(({ id }) => id === image.id)) return false
    records.delete(image.id)
    await options.forget?.(image)
    log.info({ image: image.names[0] ?? image.id, bytes: image.sizeBytes }, 'unused image removed')
    return true
  }

  /** Frees as many bytes, of images that are not used and old enough. */
  async function free(wanted: number, seen: readonly Seen[], at: number, reason = 'space'): Promise<number> {
    let freed = 0
    const errors: string[] = []
    for (const one of seen) {
      if (freed >= wanted) break
      if (one.lastUsed >= at || at - one.firstDetected < policy.minimumAgeMs) continue
      try {
        if (!(await remove(one))) continue
        freed += one.image.sizeBytes
        collectedImages.add({ reason })
      } catch (error) {
        errors.push((error as Error).message)
      }
    }
    if (errors.length > 0)
      throw new Error(`wanted to free ${wanted} bytes, but freed ${freed} bytes space with errors in image deletion: ${errors.join(', ')}`)
    return freed
  }

  async function collect(): Promise<void> {
    const at = now()
    let seen = await detect(at)
    // Its own life must be long enough to know.
    if (policy.maximumAgeMs > 0 && at - began > policy.maximumAgeMs) {
      const old = seen.filter(s => at - s.lastUsed > policy.maximumAgeMs && at - s.firstDetected > policy.maximumAgeMs)
      await free(Infinity, old, at, 'age')
      seen = seen.filter(s => records.has(s.image.id))
    }
    const { capacity, available } = disk()
    if (capacity === 0) {
      recorder.event(subject, 'Warning', 'InvalidDiskCapacity', 'invalid capacity 0 on image filesystem')
      throw new Error('invalid capacity 0 on image filesystem')
    }
    const usedPercent = 100 - Math.floor((available * 100) / capacity)
    if (usedPercent < policy.highThresholdPercent) return
    const wanted = Math.floor((capacity * (100 - policy.lowThresholdPercent)) / 100) - available
    log.info({ usedPercent, wanted }, 'the disk of the images is nearly full')
    const freed = await free(wanted, seen, at)
    if (freed >= wanted) return
    const message = `Failed to garbage collect required amount of images. Attempted to free ${wanted} bytes, but only found ${freed} bytes eligible to free.`
    recorder.event(subject, 'Warning', 'FreeDiskSpaceFailed', message)
    throw new Error(message)
  }

  return {
    collect,
    async removeUnused() {
      const at = now()
      return await free(Infinity, await detect(at), at)
    },
    async keep(signal) {
      let failed = false
      await detect(now()).catch((error: Error) => log.warn({ err: error.message }, 'images not looked at'))
      while (!signal.aborted) {
        await sleep(periodMs, signal)
        if (signal.aborted) return
        try {
          await collect()
          failed = false
        } catch (error) {
          const { message } = error as Error
          log.warn({ err: message }, 'image garbage collection failed')
          // The first time may have been a passing trouble.
          if (failed) recorder.event(subject, 'Warning', 'ImageGCFailed', message)
          failed = true
        }
      }
    },
  }
}
