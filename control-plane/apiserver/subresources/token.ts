/** serviceaccounts/token: issues a token of the account, bound to a pod, Secret or node when one is named. */
import { tokenRequest, type TokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { badRequest, conflict, internalError, invalidObject, notFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Named, ServiceAccountTokens } from '../authn/serviceaccount.ts'
import type { Answer } from '../chain/response.ts'
import { admit } from '../admission/admission.ts'
import { targetOfBody, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import { writeParameters } from '../objects/options.ts'
import { bodyAnswer, outputOf, writerOf, type Call } from '../verbs/context.ts'
import { find } from '../verbs/get.ts'
import { alignNamespace } from '../verbs/create.ts'

const expected = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', codec: structCodec(tokenRequest) }
const minSeconds = 600
const maxSeconds = 2 ** 32
/**
 * What the admission plugin ServiceAccount asks for. Such tokens live longer than they say, so that programs which do not read them again
 * go on.
 */
const projectedSeconds = 3607
const extendedSeconds = 365 * 24 * 3600

/** How tokens are given out, as the server's flags say. */
export interface TokenRules {
  readonly tokens: ServiceAccountTokens
  /** 0: as long as is asked for. */
  readonly maxSeconds: number
  readonly extend: boolean
}

export async function createToken(call: Call, { tokens, maxSeconds, extend }: TokenRules): Promise<Answer> {
  const { info, store } = call
  const output = outputOf(call)
  const p = writeParameters(call.request.query, 'CreateOptions')
  const body = readBody<TokenRequest>(call, expected, p.fieldValidation)
  body.metadata ??= {}
  applyDefaults(tokenRequest, body)
  alignNamespace(body as unknown as KubeObject, info.namespace)
  const given = body.metadata.name
  if (given !== undefined && given !== info.name)
    throw badRequest(`the name of the object (${given}) does not match the name on the URL (${info.name})`)
  const { spec } = await admit<TokenRequest>(store.admission, {
    operation: 'CREATE',
    target: targetOfBody(call.endpoint, 'authentication.k8s.io', 'v1', 'TokenRequest', expected.codec),
    subresource: 'token',
    namespace: info.namespace,
    name: info.name,
    object: body as unknown as KubeObject,
    old: undefined,
    options: writeOptions('CREATE', p),
    by: writerOf(call, p, 'token'),
  })
  const errors = validate(spec)
  if (errors.length > 0) throw invalidObject('authentication.k8s.io', 'TokenRequest', '', errors)
  const account = (await find(call)).object.metadata
  const bound = spec.boundObjectRef ? boundTo(call, spec.boundObjectRef) : {}
  let seconds = spec.expirationSeconds ?? 3600
  if (maxSeconds > 0 && seconds > maxSeconds) {
    call.warnings.push(`requested expiration of ${seconds} seconds shortened to ${maxSeconds} seconds`)
    seconds = maxSeconds
  }
  const audiences = spec.audiences?.length ? spec.audiences : tokens.audiences
  const extended = extend && bound.pod && seconds === projectedSeconds && audiences.every(a => tokens.audiences.includes(a))
  const now = Date.now()
  const issued = await tokens.issue({
    audiences,
    ...(extended ? { seconds: extendedSeconds, warnAfterSeconds: seconds } : { seconds }),
    namespace: info.namespace,
    account: { name: info.name, uid: account.uid! },
    ...bound,
  })
  if (issued === undefined) throw internalError('the server has no key to sign tokens with')
  call.annotations.push(['authentication.kubernetes.io/issued-credential-id', `JTI=${issued.id}`])
  store.log.debug({ serviceAccount: `${info.namespace}/${info.name}` }, 'issued a token')
  return bodyAnswer(
    call,
    201,
    {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name: info.name, namespace: info.namespace, creationTimestamp: formatTime() },
      spec: { ...spec, audiences, expirationSeconds: seconds },
      status: { token: issued.token, expirationTimestamp: formatTime(new Date(now + seconds * 1000)) },
    },
    output,
  )
}

function validate(spec: TokenRequest['spec']): FieldError[] {
  const at = new Path('spec').child('expirationSeconds')
  const seconds = spec.expirationSeconds ?? 3600
  if (seconds < minSeconds) return [invalid(at, seconds, 'may not specify a duration less than 10 minutes')]
  return seconds > maxSeconds ? [invalid(at, seconds, 'may not specify a duration larger than 2^32 seconds')] : []
}

/** The object whose end ends the token; it must be the one that is meant. A pod brings its node along. */
function boundTo(
  { store, info }: Call,
  ref: NonNullable<TokenRequest['spec']['boundObjectRef']>,
): { pod?: Named; node?: Named; secret?: Named } {
  const { registry } = store
  const get = (plural: string, namespace: string): KubeObject => {
    const object = registry.get({ group: '', plural }, namespace, ref.name ?? '')?.object
    if (!object) throw notFound({ group: '', resource: plural }, ref.name ?? '')
    if (ref.uid && ref.uid !== object.metadata.uid) {
      const why = `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`
      throw conflict({ group: '', resource: ref.kind ?? '' }, ref.name ?? '', why)
    }
    return object
  }
  const named = (o: KubeObject): Named => ({ name: o.metadata.name!, uid: o.metadata.uid! })
  const [group, version] = ref.apiVersion?.includes('/') ? ref.apiVersion.split('/', 2) : ['', ref.apiVersion ?? '']
  switch (`${group} ${ref.kind}`) {
    case ' Pod': {
      const pod = get('pods', info.namespace) as unknown as Pod & KubeObject
      if ((pod.spec.serviceAccountName ?? '') !== info.name) {
        throw badRequest(
          `cannot bind token for serviceaccount ${JSON.stringify(info.name)} to pod running with different serviceaccount name.`,
        )
      }
      const node = pod.spec.nodeName ? registry.get({ group: '', plural: 'nodes' }, '', pod.spec.nodeName)?.object : undefined
      return { pod: named(pod), ...(pod.spec.nodeName ? { node: { name: pod.spec.nodeName, uid: node?.metadata.uid ?? '' } } : {}) }
    }
    case ' Secret':
      return { secret: named(get('secrets', info.namespace)) }
    case ' Node':
      return { node: named(get('nodes', '')) }
    default:
      throw badRequest(`cannot bind token to object of type ${group}/${version}, Kind=${ref.kind ?? ''}`)
  }
}
