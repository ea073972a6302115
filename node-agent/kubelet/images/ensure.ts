/** Makes sure that a container's image is there, with upstream's events, reasons and back-off. */
import { parseImageName } from '#shared/api/core/podspec/imagename.ts'
import type { ImageConfig } from '../../runtime/imageservice.ts'
import { durationText, grow, imagePull, remaining } from '../container/backoff.ts'
import type { PodContext } from '../context.ts'
import type { TypedContainer } from '../pod/containers.ts'

/** Resolves with undefined when the container has to wait; why is in its `waiting` then, and the pod comes back by itself. */
export async function ensureImage(ctx: PodContext, typed: TypedContainer): Promise<ImageConfig | undefined> {
  const { container } = typed
  const live = ctx.live(container.name)
  const name = container.image ?? ''
  const wait = (reason: string, message: string): undefined => {
    live.waiting = { reason, message }
    return undefined
  }
  if (!parseImageName(name)) {
    const message = `Failed to apply default image tag "${name}": couldn't parse image name "${name}": invalid reference format`
    ctx.event('Warning', 'InspectFailed', message, typed)
    ctx.event('Warning', 'Failed', 'Error: InvalidImageName', typed)
    ctx.kickIn(imagePull.maxMs)
    return wait('InvalidImageName', message)
  }
  if (live.imageFailure) {
    const left = remaining(live.imageDelay, live.imageFailure.at, Date.now(), imagePull)
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
  const { images } = ctx.kubelet.runtime
  const policy = container.imagePullPolicy
  const present = policy === 'Always' ? undefined : await images.status(name)
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
  const began = performance.now()
  try {
    ctx.event('Normal', 'Pulling', `Pulling image "${name}"`, typed)
    const image = await images.pull(name, { signal: ctx.ending })
    const took = `${Math.max(1, Math.round(performance.now() - began))}ms`
    ctx.event(
      'Normal',
      'Pulled',
      `Successfully pulled image "${name}" in ${took} (${took} including waiting). Image size: ${image.sizeBytes ?? 0} bytes.`,
      typed,
    )
    live.imageFailure = undefined
    return image
  } catch (e) {
    if (ctx.ending.aborted) return undefined
    const { message } = e as Error
    live.imageDelay = grow(live.imageDelay, Date.now(), imagePull)
    live.imageFailure = { at: Date.now(), message }
    ctx.event('Warning', 'Failed', `Failed to pull image "${name}": ${message}`, typed)
    ctx.event('Warning', 'Failed', 'Error: ErrImagePull', typed)
    ctx.log.info(
      { container: container.name, image: name, err: message, again: durationText(live.imageDelay.delayMs) },
      'image cannot be had',
    )
    // Not at once: the first reason is to be seen.
    ctx.kickIn(Math.min(1000, live.imageDelay.delayMs))
    return wait('ErrImagePull', message)
  }
}
