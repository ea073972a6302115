/**
 * The documents by which others check tokens of service accounts: the issuer's discovery document and its keys
 * (pkg/serviceaccount/openidmetadata.go, pkg/routes/openidmetadata.go).
 */
import type { Answer } from '../chain/response.ts'
import type { PublicKey } from '../authn/keys.ts'

export const discoveryPath = '/.well-known/openid-configuration'
export const keysPath = '/openid/v1/jwks'

export interface IssuerDocuments {
  /** The answer to a path; undefined for other paths. */
  of(path: string): Answer | undefined
}

export interface Issuer {
  readonly issuer: string
  readonly keys: readonly PublicKey[]
  /** Where the keys are said to be. */
  readonly keysUri: () => string
}

/** Why an issuer cannot have the documents, as OpenID Connect Discovery forbids; undefined when it can. */
export function unfitIssuer(issuer: string): string | undefined {
  if (!URL.canParse(issuer)) return `invalid issuer URL: ${issuer}`
  const { protocol } = new URL(issuer)
  if (protocol !== 'https:') return `issuer URL must use https scheme, got: ${issuer}`
  if (issuer.includes('?')) return `issuer URL may not include a query, got: ${issuer}`
  return issuer.includes('#') ? `issuer URL may not include a fragment, got: ${issuer}` : undefined
}

export function issuerDocuments({ issuer, keys, keysUri }: Issuer): IssuerDocuments {
  const keySet = {
    keys: keys.map(({ id, algorithm, key }) => {
      const { kty, crv, x, y, n, e } = key.export({ format: 'jwk' })
      return { use: 'sig', kty, kid: id, ...(crv === undefined ? {} : { crv }), alg: algorithm, ...(n === undefined ? { x, y } : { n, e }) }
    }),
  }
  const document = () => ({
    issuer,
    jwks_uri: keysUri(),
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...new Set(keys.map(k => k.algorithm))].sort(),
  })
  const answer = (type: string, value: object): Answer => ({
    code: 200,
    headers: { 'content-type': type, 'cache-control': 'public, max-age=3600' },
    body: Buffer.from(JSON.stringify(value)),
  })
  return {
    of: path =>
      path === discoveryPath
        ? answer('application/json', document())
        : path === keysPath
          ? answer('application/jwk-set+json', keySet)
          : undefined,
  }
}
