/** TokenReview: says whom a bearer token belongs to. Answered, never stored. */
import { tokenReview, type TokenReview } from '#shared/api/authentication/tokenreview.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { badRequest, internalError } from '#shared/machinery/status.ts'
import { aggregate, TokenError, type TokenAuthenticator } from '../authn/token.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, type Answer } from '../chain/response.ts'
import { admit, type Admission } from '../admission/admission.ts'
import { targetOfKind, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import { writeParameters } from '../objects/options.ts'
import { bodyAnswer, outputOf, writerOf } from '../verbs/context.ts'

/** As discovery shows it. */
export const tokenReviews: Resource = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenReview',
  plural: 'tokenreviews',
  singular: 'tokenreview',
  namespaced: false,
  schema: tokenReview,
  verbs: ['create'],
}
const expected = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', codec: structCodec(tokenReview) }

/** `authenticate` throws TokenError for a token that nobody knows; `own` are the audiences of this API. */
export async function reviewToken(
  ctx: RequestContext,
  authenticate: TokenAuthenticator,
  own: readonly string[],
  admission: Admission,
): Promise<Answer> {
  if (ctx.info.verb !== 'create' || ctx.info.name !== '') throw noSuchMethod()
  const output = outputOf(ctx)
  const p = writeParameters(ctx.request.query, 'CreateOptions')
  const sent = readBody<TokenReview>(ctx, expected, p.fieldValidation)
  sent.metadata ??= {}
  const review = await admit<TokenReview>(admission, {
    operation: 'CREATE',
    target: targetOfKind(tokenReviews),
    subresource: '',
    namespace: '',
    name: '',
    object: sent as unknown as KubeObject,
    old: undefined,
    options: writeOptions('CREATE', p),
    by: writerOf(ctx, p),
  })
  if (!review.spec?.token) throw badRequest('token is required for TokenReview in authentication')
  const { token, audiences } = review.spec
  const status = await statusOf(ctx, authenticate, token, audiences?.length ? audiences : own)
  const { metadata = {}, spec } = review
  return bodyAnswer(ctx, 201, { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', metadata, spec, status }, output)
}

const noToken = 'invalid bearer token'

const userOf = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name,
  groups,
  ...(uid ? { uid } : {}),
  ...(extra ? { extra } : {}),
})

async function statusOf(
  ctx: RequestContext,
  authenticate: TokenAuthenticator,
  token: string,
  audiences: readonly string[],
): Promise<TokenReview['status']> {
  try {
    const found = await authenticate(token, audiences, ctx)
    if (!found) return { user: {}, error: noToken }
    if (!found.audiences.some(a => audiences.includes(a))) throw internalError('the token authenticator returned no overlapping audiences')
    return { authenticated: true, user: userOf(found.user), audiences: [...found.audiences] }
  } catch (e) {
    if (!(e instanceof TokenError)) throw e
    // What upstream's authenticator of its loopback token says comes first.
    return { user: {}, error: aggregate([noToken, e.message]) }
  }
}
