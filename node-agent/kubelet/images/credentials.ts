/** What imagePullSecrets say of an image's registry. https://kubernetes.io/docs/concepts/containers/images/#config-json */
import { Buffer } from 'node:buffer'
import type { Secret } from '#shared/api/core/secret.ts'
import type { RegistryCredentials } from '../../runtime/imageservice.ts'
import { parseReference, type ImageReference } from '../../runtime/images/reference.ts'
import type { PodContext } from '../context.ts'

interface Auth {
  username?: string
  password?: string
  auth?: string
  identitytoken?: string
  registrytoken?: string
}

const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** `https://index.docker.io/v1/` is `index.docker.io`. */
const registryOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/(\/v[12])?\/*$/, '')

/** Whether a key of `auths` is about the image: the host, maybe with the beginning of a path; `*` stands for a part of a host's name. */
export function isAbout(key: string, { registry, path }: Pick<ImageReference, 'registry' | 'path'>): boolean {
  const [host = '', ...rest] = registryOf(key).split('/')
  const prefix = rest.join('/')
  const [parts, wanted] = [host.split('.'), registry.split('.')]
  const sameHost =
    (dockerHub.includes(registry) && dockerHub.includes(host)) ||
    (parts.length === wanted.length && parts.every((p, n) => p === '*' || p === wanted[n]))
  return sameHost && (prefix === '' || path === prefix || path.startsWith(`${prefix}/`))
}

function authsOf(secret: Secret): { [registry: string]: Auth } {
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
  return found && typeof found === 'object' ? (found as { [registry: string]: Auth }) : {}
}

function credentialsOf({ auth, username, password, identitytoken, registrytoken }: Auth): RegistryCredentials {
  const decoded = auth ? Buffer.from(auth, 'base64').toString('utf8') : ''
  const colon = decoded.indexOf(':')
  const [user, secret] = colon < 0 ? [username, password] : [decoded.slice(0, colon), decoded.slice(colon + 1)]
  return {
    ...(user ? { username: user } : {}),
    ...(secret ? { password: secret } : {}),
    ...(identitytoken ? { identityToken: identitytoken } : {}),
    ...(registrytoken ? { registryToken: registrytoken } : {}),
  }
}

/** Those that are about the image, the most special first. */
export const matching = (secrets: readonly Secret[], image: ImageReference): RegistryCredentials[] =>
  secrets
    .flatMap(secret => Object.entries(authsOf(secret)))
    .filter(([key, auth]) => auth !== null && typeof auth === 'object' && isAbout(key, image))
    .sort(([a], [b]) => registryOf(b).length - registryOf(a).length)
    .map(([, auth]) => credentialsOf(auth))

/** Looks up the pod's imagePullSecrets. Throws ImageError for a name that is none; an event tells of those that are not there. */
export async function pullCredentials(ctx: PodContext, image: string): Promise<RegistryCredentials[]> {
  if (!ctx.pod.spec.imagePullSecrets) return []
  const names = ctx.pod.spec.imagePullSecrets.map(s => s.name ?? '').filter(Boolean)
  const found = await Promise.all(names.map(async name => await ctx.sources.secret(name).catch(() => undefined)))
  const missing = names.filter((_, n) => !found[n])
  if (missing.length > 0)
    ctx.event(
      'Warning',
      'FailedToRetrieveImagePullSecret',
      `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`,
    )
  return matching(
    found.filter(s => s !== undefined),
    parseReference(image),
  )
}
