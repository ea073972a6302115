/** Makes sure that a container's image is there, with upstream's events, reasons and back-off. The pod goes on while it is pulled. */
import { durationText } from '#shared/machinery/duration.ts'
import { invalidImageName, parseImageName } from '#shared/api/core/podspec/imagename.ts'
import { ImageError, type ImageConfig } from '../../runtime/imageservice.ts'
import { parseReference } from '../../runtime/images/reference.ts'
import { grow, imagePull, remaining } from '../container/backoff.ts'
import type { LiveContainer, PodContext } from '../context.ts'
import { imagePulls, imageSizeLabel } from '../metrics.ts'
import type { TypedContainer } from '../pod/containers.ts'
import type { Pulled } from './puller.ts'
import { pullCredentials, type PullCredentials } from './credentials.ts'

/**
 * `pulling`: the pod is brought back when that has ended. `waiting`: why is in the container's `waiting`, and the pod comes back by itself.
 */
export type EnsuredImage = ImageConfig | 'pulling' | 'waiting'

/** How long ErrImagePull is told before it is ImagePullBackOff: the first reason is to be seen. */
const firstReasonMs = 1_000

/** What keeps the records of images from being read passes without a sign, but for the files' own. */
const inspectAgainMs = 10_000

const reasons = ['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'RegistryUnavailable', 'ImageInspectError']
/** Whether a container waits, for this reason, for an image that could not be had. */
export const waitsForImage = (reason: string | undefined): boolean => reason !== undefined && reasons.includes(reason)

/** An image that a container needs: its own, or that of a volume. */
interface Wanted {
  name: string
  policy: string | undefined
  volume?: string
}

/** `wanted`: by default the container's own. */
export async function ensureImage(
  ctx: PodContext,
  typed: TypedContainer,
  wanted: Wanted = { name: typed.container.image ?? '', policy: typed.container.imagePullPolicy },
): Promise<EnsuredImage> {
  const { container } = typed
  const { name, policy, volume } = wanted
  const shown = ctx.live(container.name)
  // Of a volume, which all containers of the pod share. No container's name has a blank.
  const live = volume === undefined ? shown : ctx.live(`volume ${volume}`)
  // Events of volumes are the pod's.
  const subject = volume === undefined ? typed : undefined
  const wait = (reason: string, message: string): 'waiting' => {
    shown.waiting = { reason, message }
    return 'waiting'
  }
  if (!parseImageName(name)) {
    const message = `Failed to apply default image tag "${name}": couldn't parse image name "${name}": ${invalidImageName(name)}`
    ctx.event('Warning', 'InspectFailed', message, subject)
    ctx.event('Warning', 'Failed', 'Error: InvalidImageName', subject)
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
  let present: ImageConfig | undefined
  try {
    present = policy === 'Always' ? undefined : await ctx.kubelet.runtime.images.status(name)
  } catch (e) {
    const message = `Failed to inspect image "${name}": ${(e as Error).message}`
    ctx.event('Warning', 'InspectFailed', message, subject)
    ctx.event('Warning', 'Failed', 'Error: ImageInspectError', subject)
    ctx.kickIn(inspectAgainMs)
    return wait('ImageInspectError', message)
  }
  if (present && !(await mustVerify(ctx, name, present))) {
    ctx.event('Normal', 'Pulled', `Container image "${name}" already present on machine and can be accessed by the pod`, subject)
    live.imageFailure = undefined
    return present
  }
  if (policy === 'Never') {
    const text = present
      ? `Container image "${name}" is present with pull policy of Never but does not have the proper credentials to access the image`
      : `Container image "${name}" is not present with pull policy of Never`
    ctx.event('Warning', 'ErrImageNeverPull', text, subject)
    ctx.event('Warning', 'Failed', 'Error: ErrImageNeverPull', subject)
    ctx.kickIn(imagePull.maxMs)
    return wait('ErrImageNeverPull', text)
  }
  if (live.imageFailure) {
    const { at, reason, message } = live.imageFailure
    const left = remaining(live.imageDelay, at, Date.now(), imagePull)
    const unseen = Math.min(left, at + firstReasonMs - Date.now())
    if (unseen > 0) {
      ctx.kickIn(unseen)
      return wait(reason, message)
    }
    if (left > 0 && !(policy === 'Always' && (await hasCome(ctx, name, live.imageFailure)))) {
      ctx.kickIn(left)
      const text = `Back-off pulling image "${name}"`
      const known = shown.waiting?.reason === 'ImagePullBackOff'
      if (!known) {
        ctx.event('Normal', 'BackOff', text, subject)
        ctx.event('Warning', 'Failed', 'Error: ImagePullBackOff', subject)
      }
      return wait('ImagePullBackOff', `${text}: ${reason}: ${message}`)
    }
  }
  const pull: LiveContainer['pull'] = { name }
  live.pull = pull
  void pullImage(ctx, pull, { live, shown, subject }).catch((e: unknown) =>
    ctx.log.error({ image: name, err: e }, 'pulling an image failed'),
  )
  return 'pulling'
}

/** Whether the node has another image by that name than when it could not be had: somebody has loaded it since. */
const hasCome = async (
  { kubelet }: PodContext,
  name: string,
  { present }: NonNullable<LiveContainer['imageFailure']>,
): Promise<boolean> => {
  const now = (await kubelet.runtime.images.status(name))?.id
  return now !== undefined && now !== present
}

const isHostImage = ({ id }: ImageConfig): boolean => id.startsWith('host-image://')

/** Of a real image, without tag and digest. */
const repositoryOf = (name: string): string => {
  const { registry, path } = parseReference(name)
  return `${registry}/${path}`
}

/** Whether the registry has to let the pod in though the image is there. */
async function mustVerify(ctx: PodContext, name: string, present: ImageConfig): Promise<boolean> {
  const records = ctx.kubelet.pullRecords
  // A host image is the node's own.
  if (!records || isHostImage(present)) return false
  const repository = repositoryOf(name)
  // Most images were let in as nobody, or by nobody: no Secret needs to be looked up.
  if (!(await records.mustVerify(name, repository, present.id, []))) return false
  const secrets = (await pullCredentials(ctx, name)).flatMap(c => c.source ?? [])
  return secrets.length === 0 || (await records.mustVerify(name, repository, present.id, secrets))
}

/** A pull, with a record of what let us in. */
async function recordedPull(ctx: PodContext, name: string, found: readonly PullCredentials[]): Promise<Pulled> {
  const { puller, pullRecords } = ctx.kubelet
  const credentials = found.map(c => c.credentials)
  await pullRecords?.begin(name)
  let pulled: Pulled
  try {
    pulled = await puller.pull(name, credentials, ctx.ending)
  } catch (e) {
    await pullRecords?.end(name)
    throw e
  }
  const { image, credential } = pulled
  const by = (credential === undefined ? undefined : found[credential]?.source) ?? 'anybody'
  await pullRecords?.end(name, pulled.asked ? { repository: repositoryOf(name), imageRef: image.id, by } : undefined)
  return pulled
}

interface Puller {
  live: LiveContainer
  /** Where it is told why the container waits. */
  shown: LiveContainer
  subject: TypedContainer | undefined
}

async function pullImage(ctx: PodContext, pull: NonNullable<LiveContainer['pull']>, { live, shown, subject }: Puller): Promise<void> {
  const { name } = pull
  ctx.event('Normal', 'Pulling', `Pulling image "${name}"`, subject)
  try {
    const { image, pullMs, totalMs } = await recordedPull(ctx, name, await pullCredentials(ctx, name))
    const text = (ms: number): string => (ms < 1000 ? `${Math.max(1, Math.round(ms))}ms` : `${(ms / 1000).toFixed(3)}s`)
    ctx.event(
      'Normal',
      'Pulled',
      `Successfully pulled image "${name}" in ${text(pullMs)} (${text(totalMs)} including waiting). Image size: ${image.sizeBytes ?? 0} bytes.`,
      subject,
    )
    imagePulls.observe(totalMs / 1000, { image_size_in_bytes: imageSizeLabel(image.sizeBytes ?? 0) })
    live.imageFailure = undefined
    pull.image = image
    ctx.kick()
  } catch (e) {
    if (live.pull === pull) live.pull = undefined
    if (ctx.ending.aborted) return
    const reason = e instanceof ImageError ? e.reason : 'ErrImagePull'
    const message =
      reason === 'RegistryUnavailable'
        ? `image pull failed for ${name} because the registry is unavailable: ${(e as Error).message}`
        : (e as Error).message
    live.imageDelay = grow(live.imageDelay, Date.now(), imagePull)
    live.imageFailure = { at: Date.now(), reason, message }
    const present = await ctx.kubelet.runtime.images.status(name).catch(() => undefined)
    if (present) live.imageFailure.present = present.id
    shown.waiting = { reason, message }
    ctx.event('Warning', 'Failed', `Failed to pull image "${name}": ${message}`, subject)
    ctx.event('Warning', 'Failed', `Error: ${reason}`, subject)
    ctx.log.info({ image: name, err: message, again: durationText(live.imageDelay.delayMs) }, 'image cannot be had')
    ctx.publish()
    ctx.kickIn(Math.min(firstReasonMs, live.imageDelay.delayMs))
  }
}
