/**
 * The kubelet's credential provider plugins: programs that know how to get in at some registries, such as those of clouds.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { parseDuration } from '#shared/machinery/duration.ts'
import { spawnOnMachine } from '../../machinenamespaces.ts'
import type { ImageReference } from '../../runtime/images/reference.ts'
import type { CredentialSource } from './credentials.ts'
import type { CredentialSourceOfNode, ImageUser } from './nodecredentials.ts'
import { isAbout } from './registrykeys.ts'

const versions = ['credentialprovider.kubelet.k8s.io/v1', 'credentialprovider.kubelet.k8s.io/v1beta1'] as const
/** A Go duration, in ms. */
const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  context.addIssue({ code: 'custom', message: `time: invalid duration ${JSON.stringify(text)}` })
  return z.NEVER
})
const annotationKeys = z.array(z.string().min(1)).nullish()
/** That a plugin is given a token of the pod's service account. */
const tokenAttributes = z.strictObject({
  serviceAccountTokenAudience: z.string().min(1),
  /** What its answers are remembered by, besides the image. */
  cacheType: z.enum(['ServiceAccount', 'Token']),
  requireServiceAccount: z.boolean(),
  /** Of accounts that lack one of these it is not asked. */
  requiredServiceAccountAnnotationKeys: annotationKeys,
  optionalServiceAccountAnnotationKeys: annotationKeys,
})
const configuration = z.object({
  kind: z.literal('CredentialProviderConfig'),
  apiVersion: z.enum(['kubelet.config.k8s.io/v1', 'kubelet.config.k8s.io/v1beta1']),
  providers: z
    .array(
      z
        .strictObject({
          name: z
            .string()
            .refine(name => name !== '' && name === basename(name) && !['.', '..'].includes(name), 'must be the name of a program'),
          matchImages: z.array(z.string().min(1)).min(1),
          defaultCacheDuration: duration,
          apiVersion: z.enum(versions),
          args: z.array(z.string()).nullish(),
          env: z.array(z.object({ name: z.string().min(1), value: z.string() })).nullish(),
          tokenAttributes: tokenAttributes.nullish(),
        })
        .refine(p => !p.tokenAttributes || p.apiVersion === versions[0], {
          path: ['tokenAttributes'],
          message: `is only supported for ${versions[0]}`,
        }),
    )
    .min(1),
})
type Provider = z.output<typeof configuration>['providers'][number]

const response = z.object({
  kind: z.literal('CredentialProviderResponse'),
  apiVersion: z.string(),
  cacheKeyType: z.enum(['Image', 'Registry', 'Global']),
  cacheDuration: duration.nullish(),
  auth: z.record(z.string(), z.object({ username: z.string(), password: z.string() })).nullish(),
})
type Auth = NonNullable<z.output<typeof response>['auth']>

/** As upstream, ms. */
const pluginMs = 60_000
const maxAnswerBytes = 1 << 20
const maxCached = 100
/** How long a token lives that nobody says more of. */
const tokenSeconds = 3600

/** Throws one line that names the file and the place. */
export function credentialProviders(file: string, binDirectory: string): CredentialSourceOfNode[] {
  let value: unknown
  try {
    value = parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message.split('\n')[0]}`)
  }
  const result = configuration.safeParse(value)
  if (result.success) return result.data.providers.map(provider => source(provider, binDirectory))
  throw new Error(`${file}: ${result.error.issues.map(i => `${i.path.join('.') || 'the file'}: ${i.message}`).join('; ')}`)
}

/** Whom a plugin is told of. */
interface Identity {
  account: CredentialSource
  token: string
  annotations: { [key: string]: string }
}

/** Undefined when the plugin is not to be asked for the pod; null when it is to be asked without anybody's token. */
async function identityOf(attributes: NonNullable<Provider['tokenAttributes']>, user: ImageUser): Promise<Identity | null | undefined> {
  const { namespace = '' } = user.pod.metadata
  // Static pods have none.
  if (!user.pod.spec.serviceAccountName) return attributes.requireServiceAccount ? undefined : null
  const found = await user.sources.serviceAccount()
  if (!found) return undefined
  const { uid = '', name = '', annotations = {} } = found.metadata
  const required = attributes.requiredServiceAccountAnnotationKeys ?? []
  if (required.some(key => !Object.hasOwn(annotations, key))) return undefined
  const told = [...required, ...(attributes.optionalServiceAccountAnnotationKeys ?? [])].filter(key => Object.hasOwn(annotations, key))
  return {
    account: { uid, namespace, name },
    token: await user.sources.token(attributes.serviceAccountTokenAudience, tokenSeconds),
    annotations: Object.fromEntries(told.sort().map(key => [key, annotations[key]!])),
  }
}

function source(provider: Provider, binDirectory: string): CredentialSourceOfNode {
  const cache = new Map<string, { auth: Auth; until: number }>()
  const underWay = new Map<string, Promise<Auth>>()
  const key = (type: 'Image' | 'Registry' | 'Global', { registry, path }: ImageReference, whose: string): string =>
    `${type} ${type === 'Global' ? '' : type === 'Registry' ? registry : `${registry}/${path}`} ${whose}`
  const whose = (identity: Identity | null): string => {
    if (!identity) return ''
    const { account, annotations, token } = identity
    const more = provider.tokenAttributes?.cacheType === 'Token' ? createHash('sha256').update(token).digest('hex') : ''
    return JSON.stringify([account, annotations, more])
  }

  async function ask(image: ImageReference, identity: Identity | null): Promise<Auth> {
    const { auth, cacheKeyType, cacheDuration } = await askPlugin(provider, binDirectory, image, identity)
    const ms = cacheDuration ?? provider.defaultCacheDuration
    if (ms > 0) {
      if (cache.size >= maxCached) cache.delete(cache.keys().next().value!)
      cache.set(key(cacheKeyType, image, whose(identity)), { auth: auth ?? {}, until: Date.now() + ms })
    }
    return auth ?? {}
  }
  return async (image, user) => {
    if (!provider.matchImages.some(pattern => isAbout(pattern, image))) return []
    const identity = provider.tokenAttributes ? await identityOf(provider.tokenAttributes, user) : null
    if (identity === undefined) return []
    const keys = (['Image', 'Registry', 'Global'] as const).map(type => key(type, image, whose(identity)))
    let auth = keys.map(k => cache.get(k)).find(entry => entry && entry.until > Date.now())?.auth
    if (!auth) {
      const pending = underWay.get(keys[0]!) ?? ask(image, identity).finally(() => underWay.delete(keys[0]!))
      underWay.set(keys[0]!, pending)
      auth = await pending
    }
    const fits = Object.entries(auth).filter(([pattern]) => isAbout(pattern, image))
    return fits
      .sort(([a], [b]) => b.length - a.length)
      .map(([, credentials]) => ({ credentials, ...(identity ? { source: identity.account } : {}) }))
  }
}

async function askPlugin(
  { name, apiVersion, args, env }: Provider,
  binDirectory: string,
  image: ImageReference,
  identity: Identity | null,
): Promise<z.output<typeof response>> {
  const child = spawnOnMachine(join(binDirectory, name), args ?? [], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeoutMs: pluginMs,
    env: { ...process.env, ...Object.fromEntries((env ?? []).map(e => [e.name, e.value])) },
  })
  let [output, errors] = ['', '']
  child.stdout!.setEncoding('utf8').on('data', (part: string) => {
    if ((output += part).length > maxAnswerBytes) child.kill('SIGKILL')
  })
  child.stderr!.setEncoding('utf8').on('data', (part: string) => (errors = (errors + part).slice(-1000)))
  child.stdin!.on('error', () => {})
  const { token, annotations = {} } = identity ?? {}
  const more = {
    ...(token === undefined ? {} : { serviceAccountToken: token }),
    ...(Object.keys(annotations).length === 0 ? {} : { serviceAccountAnnotations: annotations }),
  }
  child.stdin!.end(JSON.stringify({ kind: 'CredentialProviderRequest', apiVersion, image: image.canonical, ...more }))
  const fail = (why: string): never => {
    throw new Error(`error execing credential provider plugin ${name} for image ${image.canonical}: ${why}`)
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).catch((error: Error) => fail(error.message))
  if (code !== 0) return fail(errors.trim() || (code === null ? 'it took too long' : `exit status ${code}`))
  try {
    const answer = response.parse(JSON.parse(output))
    if (answer.apiVersion !== apiVersion)
      fail(`apiVersion from credential plugin response did not match expected apiVersion: ${apiVersion}`)
    return answer
  } catch (error) {
    return fail((error as Error).message.split('\n')[0]!)
  }
}
