/** What a pull may use: what the pod's imagePullSecrets say of the image's registry, then what the node knows. */
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Secret } from '#shared/api/core/secret.ts'
import { credentialsOf, type DockerAuth } from '../../registry/dockerauth.ts'
import type { RegistryCredentials } from '../../runtime/imageservice.ts'
import { parseReference, type ImageReference } from '../../runtime/images/reference.ts'
import type { PodContext } from '../context.ts'
import { isAbout, registryOf } from './registrykeys.ts'

/** Where credentials are from, as upstream's records of pulls have it. */
export interface CredentialSource {
  uid: string
  namespace: string
  name: string
  /** Of what is in a Secret; a service account's pods are let in by whose they are. */
  credentialHash?: string | undefined
}
export interface PullCredentials {
  credentials: RegistryCredentials
  /** The Secret, or the service account; absent: the node's own, which are for all its pods. */
  source?: CredentialSource
}

function authsOf(secret: Secret): { [registry: string]: DockerAuth } {
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8')
  const parsed = (json: string): unknown => {
    try {
      return JSON.parse(json)
    } catch {
      return undefined
    }
  }
  const found =
    secret.type === 'kubernetes.io/dockerconfigjson'
      ? (parsed(text('.dockerconfigjson')) as { auths?: unknown } | undefined)?.auths
      : secret.type === 'kubernetes.io/dockercfg'
        ? parsed(text('.dockercfg'))
        : undefined
  return found && typeof found === 'object' ? (found as { [registry: string]: DockerAuth }) : {}
}

const sourceOf = ({ metadata }: Secret, credentials: RegistryCredentials): CredentialSource => ({
  uid: metadata?.uid ?? '',
  namespace: metadata?.namespace ?? '',
  name: metadata?.name ?? '',
  credentialHash: createHash('sha256').update(JSON.stringify(credentials)).digest('hex'),
})

/** Those that are about the image, the most special first. */
export const matching = (secrets: readonly Secret[], image: ImageReference): PullCredentials[] =>
  secrets
    .flatMap(secret => Object.entries(authsOf(secret)).map(([key, auth]) => ({ secret, key, auth })))
    .filter(({ key, auth }) => auth !== null && typeof auth === 'object' && isAbout(key, image))
    .sort((a, b) => registryOf(b.key).length - registryOf(a.key).length)
    .map(({ secret, auth }) => {
      const credentials = credentialsOf(auth)
      return { credentials, source: sourceOf(secret, credentials) }
    })

/**
 * Looks up the pod's imagePullSecrets, and the node's own. Throws ImageError for a name that is none; an event tells of Secrets that are
 * not there.
 */
export async function pullCredentials(ctx: PodContext, image: string): Promise<PullCredentials[]> {
  const reference = parseReference(image)
  const names = (ctx.pod.spec.imagePullSecrets ?? []).map(s => s.name ?? '').filter(Boolean)
  const found = await Promise.all(names.map(async name => await ctx.sources.secret(name).catch(() => undefined)))
  const missing = names.filter((_, n) => !found[n])
  if (missing.length > 0)
    ctx.event(
      'Warning',
      'FailedToRetrieveImagePullSecret',
      `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`,
    )
  const ofPod = matching(
    found.filter(s => s !== undefined),
    reference,
  )
  return [...ofPod, ...((await ctx.kubelet.nodeCredentials?.(reference, ctx)) ?? [])]
}
