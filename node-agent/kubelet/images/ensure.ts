/** Makes sure that a container's image is there, with upstream's events, reasons and back-off. The pod goes on while it is pulled. */
import { parseImageName } from '#shared/api/core/podspec/imagename.ts'
import type { ImageConfig } from '../../runtime/imageservice.ts'
import { durationText, grow, imagePull, remaining } from '../container/backoff.ts'
import type { LiveContainer, PodContext } from '../context.ts'
import type { TypedContainer } from '../pod/containers.ts'
import { pullCredentials } from './credentials.ts'

/**
 * `pulling`: the pod is brought back when that has ended. `waiting`: why is in the container's `waiting`, and the pod comes back by itself.
 */
export type EnsuredImage = ImageConfig | 'pulling' | 'waiting'

/** How long ErrImagePull is told before it is ImagePullBackOff: the first reason is to be seen. */
const firstReasonMs = 1_000

export async function ensureImage(ctx: PodContext, typed: TypedContainer): Promise<EnsuredImage> {
  const { container } = typed
  const live = ctx.live(container.name)
  const name = container.image ?? ''
  const wait = (reason: string, message: string): 'waiting' => {
    live.waiting = { reason, message }
    return 'waiting'
  }
  if (!parseImageName(name)) {
    const message = `Failed to apply default image tag "${name}": couldn't parse image name "${name}": invalid reference format`
    ctx.event('Warning', 'InspectFailed', message, typed)
    ctx.event('Warning', 'Failed', 'Error: InvalidImageName', typed)
    ctx.kickIn(imagePull.maxMs)
    return wait('InvalidImageName', message)
  }
  if (live.pull?.name === name) {
    const { image } = live.pull
    if (image === undefined) return 'pulling'
    // For this start: the next asks again.
    live.pull = undefined
    return image
  }
  if (live.imageFailure) {
    const left = remaining(live.imageDelay, live.imageFailure.at, Date.now(), imagePull)
    const unseen = Math.min(left, live.imageFailure.at + firstReasonMs - Date.now())
    if (unseen > 0) {
      ctx.kickIn(unseen)
      return wait('ErrImagePull', live.imageFailure.message)
    }
    if (left > 0) {
      ctx.kickIn(left)
      const text = `Back-off pulling image "${name}"`
      const known = live.waiting?.reason === 'ImagePullBackOff'
      if (!known) {
        ctx.event('Normal', 'BackOff', text, typed)
        ctx.event('Warning', 'Failed', 'Error: ImagePullBackOff', typed)
      }
      return wait('ImagePullBackOff', `${text}: ErrImagePull: ${live.imageFailure.message}`)
    }
  }
  const policy = container.imagePullPolicy
  const present = policy === 'Always' ? undefined : await ctx.kubelet.runtime.images.status(name)
  if (present) {
    ctx.event('Normal', 'Pulled', `Container image "${name}" already present on machine and can be accessed by the pod`, typed)
    live.imageFailure = undefined
    return present
  }
  if (policy === 'Never') {
    const text = `Container image "${name}" is not present with pull policy of Never`
    ctx.event('Warning', 'ErrImageNeverPull', text, typed)
    ctx.event('Warning', 'Failed', 'Error: ErrImageNeverPull', typed)
    ctx.kickIn(imagePull.maxMs)
    return wait('ErrImageNeverPull', text)
  }
  const pull: LiveContainer['pull'] = { name }
  live.pull = pull
  void pullImage(ctx, typed, pull).catch((e: unknown) => ctx.log.error({ container: container.name, err: e }, 'pulling an image failed'))
  return 'pulling'
}

async function pullImage(ctx: PodContext, typed: TypedContainer, pull: NonNullable<LiveContainer['pull']>): Promise<void> {
  const { name } = pull
  const live = ctx.live(typed.container.name)
  ctx.event('Normal', 'Pulling', `Pulling image "${name}"`, typed)
  try {
    const { image, pullMs, totalMs } = await ctx.kubelet.puller.pull(name, await pullCredentials(ctx, name), ctx.ending)
    const text = (ms: number): string => (ms < 1000 ? `${Math.max(1, Math.round(ms))}ms` : `${(ms / 1000).toFixed(3)}s`)
    ctx.event(
      'Normal',
      'Pulled',
      `Successfully pulled image "${name}" in ${text(pullMs)} (${text(totalMs)} including waiting). Image size: ${image.sizeBytes ?? 0} bytes.`,
      typed,
    )
    live.imageFailure = undefined
    pull.image = image
    ctx.kick()
  } catch (e) {
    if (live.pull === pull) live.pull = undefined
    if (ctx.ending.aborted) return
    const { message } = e as Error
    live.imageDelay = grow(live.imageDelay, Date.now(), imagePull)
    live.imageFailure = { at: Date.now(), message }
    live.waiting = { reason: 'ErrImagePull', message }
    ctx.event('Warning', 'Failed', `Failed to pull image "${name}": ${message}`, typed)
    ctx.event('Warning', 'Failed', 'Error: ErrImagePull', typed)
    ctx.log.info(
      { container: typed.container.name, image: name, err: message, again: durationText(live.imageDelay.delayMs) },
      'image cannot be had',
    )
    ctx.publish()
    ctx.kickIn(Math.min(firstReasonMs, live.imageDelay.delayMs))
  }
}
