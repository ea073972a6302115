/** TokenReview: says whom a bearer token belongs to. Answered, never stored. */
import { tokenReview, type TokenReview } from '#shared/api/authentication/tokenreview.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { ServiceAccountTokens } from '../authn/serviceaccount.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, valueAnswer, type Answer } from '../chain/response.ts'
import { admit, type Admission } from '../admission/admission.ts'
import { targetOfKind, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import { writeParameters } from '../objects/options.ts'
import { outputOf, writerOf, writingOf } from '../verbs/context.ts'

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

export async function reviewToken(ctx: RequestContext, tokens: ServiceAccountTokens, admission: Admission): Promise<Answer> {
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
  const found = await tokens.authenticate(token, audiences?.length ? audiences : tokens.audiences)
  const status: TokenReview['status'] = found
    ? {
        authenticated: true,
        user: userOf(found.user),
        audiences: [...found.audiences],
      }
    : { user: {}, error: 'invalid bearer token' }
  return valueAnswer(
    201,
    { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', metadata: review.metadata ?? {}, spec: review.spec, status },
    writingOf(ctx, output),
  )
}

const userOf = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name,
  groups,
  ...(uid ? { uid } : {}),
  ...(extra ? { extra } : {}),
})
