/** Tokens of service accounts, as the API server gives and reviews them, and as others check them with a JOSE library of their own. */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createLocalJWKSet, decodeJwt, jwtVerify, SignJWT, type JSONWebKeySet } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keyIdOf } from '#shared/machinery/serviceaccounttoken.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { addServiceAccount, bindTo, configMaps, pod, pods, letEverybody } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const ours = 'https://kubernetes.default.svc.cluster.local'
const tokensOf = (account: string) => `/api/v1/namespaces/default/serviceaccounts/${account}/token`
const bearer = (token: string) => ({ as: 'nobody' as const, headers: { authorization: `Bearer ${token}` } })
const ask = (spec: object, account = 'default', on = rest) =>
  on('POST', tokensOf(account), { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec })
const review = async (token: string, audiences?: string[]) =>
  (await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token, audiences } })).body.status
const boundTo = (kind: string, name: string, uid?: string) => ({ boundObjectRef: { apiVersion: 'v1', kind, name, uid } })

beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
  await letEverybody(rest)
})
afterAll(() => api?.stop())

const error = (why: string) => ({ user: {}, error: `[invalid bearer token, ${why}]` })

describe('TokenReview', () => {
  it('tells audiences, and why a token does not hold', async () => {
    const { token } = (await ask({ audiences: ['vault', 'db'] })).body.status
    expect(await review(token, ['db', 'vault', 'x'])).toMatchObject({ authenticated: true, audiences: ['db', 'vault'] })
    expect(await review(token, ['x', 'y'])).toEqual(error('token audiences ["vault" "db"] is invalid for the target audiences ["x" "y"]'))
    expect(await review(token)).toEqual(error(`token audiences ["vault" "db"] is invalid for the target audiences ["${ours}"]`))
    expect((await ask({})).body.spec.audiences).toEqual([ours])
    for (const nonsense of ['x', 'a.b.c', token.replace(/\.[^.]*\./, `.${Buffer.from('{"iss":"https://other"}').toString('base64url')}.`)])
      expect(await review(nonsense)).toEqual({ user: {}, error: 'invalid bearer token' })
    expect(await review(`${token.slice(0, -6)}AAAAAA`, ['db'])).toEqual(error('go-jose/go-jose: error in cryptographic primitive'))
    expect((await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: {} })).body).toMatchObject({
      code: 400,
      message: 'token is required for TokenReview in authentication',
    })
  })

  it('knows when a token was, and will be, good', async () => {
    const key = createPrivateKey(await readFile(api.options.serviceAccountSigningKeyFile!, 'utf8'))
    const { metadata } = (await rest('GET', '/api/v1/namespaces/default/serviceaccounts/default')).body
    const made = (from: number, to: number, kid = keyIdOf(createPublicKey(key))) =>
      new SignJWT({ 'kubernetes.io': { namespace: 'default', serviceaccount: { name: 'default', uid: metadata.uid } } })
        .setProtectedHeader({ alg: 'ES256', kid })
        .setIssuer(ours)
        .setAudience(ours)
        .setSubject('system:serviceaccount:default:default')
        .setNotBefore(new Date(Date.now() + from * 1000))
        .setExpirationTime(new Date(Date.now() + to * 1000))
        .sign(key)
    expect(await review(await made(-600, -30))).toMatchObject({ authenticated: true })
    expect(await review(await made(-600, -90))).toEqual(error('service account token has expired'))
    expect(await review(await made(300, 600))).toEqual(error('service account token is not valid yet'))
    expect(await review(await made(-600, 600, 'another'))).toEqual(error('invalid signature, no keys found'))
  })
})

describe('what a token is bound to', () => {
  it('is in its claims and in the user, and ends it', async () => {
    await rest('POST', '/api/v1/nodes', { metadata: { name: 'n1' } })
    const node = (await rest('GET', '/api/v1/nodes/n1')).body.metadata
    await rest('POST', pods, pod('bound'))
    await bindTo(rest, 'bound', 'n1')
    const { uid } = (await rest('GET', `${pods}/bound`)).body.metadata
    const { token } = (await ask(boundTo('Pod', 'bound', uid))).body.status
    const claims = decodeJwt(token)
    expect(claims['kubernetes.io']).toMatchObject({ pod: { name: 'bound', uid }, node: { name: 'n1', uid: node.uid } })
    const { user } = await review(token)
    expect(user.extra).toEqual({
      'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
      'authentication.kubernetes.io/node-name': ['n1'],
      'authentication.kubernetes.io/node-uid': [node.uid],
      'authentication.kubernetes.io/pod-name': ['bound'],
      'authentication.kubernetes.io/pod-uid': [uid],
    })
    await rest('DELETE', '/api/v1/nodes/n1')
    expect((await review(token)).authenticated).toBe(true)
    await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 0 })
    expect(await review(token)).toEqual(error('service account token has been invalidated'))
    await rest('POST', pods, pod('bound'))
    expect((await review(token)).error).toContain(`does not match service account pod ref claim (${uid})`)
    await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 0 })
  })

  it('may be a Secret or a node', async () => {
    const bound = async (kind: string, path: string, object: object) => {
      await rest('POST', path, object)
      const { token } = (await ask(boundTo(kind, 'holder'))).body.status
      expect((await review(token)).authenticated).toBe(true)
      await rest('DELETE', `${path}/holder`)
      expect(await review(token)).toEqual(error('service account token has been invalidated'))
    }
    await bound('Secret', '/api/v1/namespaces/default/secrets', { metadata: { name: 'holder' } })
    await bound('Node', '/api/v1/nodes', { metadata: { name: 'holder' } })
  })

  it('must be what is meant', async () => {
    await rest('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'other' } })
    await rest('POST', pods, pod('mine'))
    expect((await ask(boundTo('Pod', 'mine'), 'other')).body.message).toBe(
      'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.',
    )
    expect((await ask(boundTo('Pod', 'mine', 'former'))).body).toMatchObject({
      code: 409,
      message:
        'Operation cannot be fulfilled on Pod "mine": the UID in the bound object reference (former) does not match the UID in record. ' +
        'The object might have been deleted and then recreated',
    })
    expect((await ask(boundTo('Pod', 'nosuch'))).body.message).toBe('pods "nosuch" not found')
    expect((await ask(boundTo('ConfigMap', 'x'))).body.message).toBe('cannot bind token to object of type /v1, Kind=ConfigMap')
    expect((await ask({ boundObjectRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x' } })).body.message).toBe(
      'cannot bind token to object of type apps/v1, Kind=Deployment',
    )
    await rest('DELETE', `${pods}/mine`, { gracePeriodSeconds: 0 })
  })
})

it('a pod’s own token lives for a year, though it says an hour; one for others, or with the extension off, does not', async () => {
  await rest('POST', pods, pod('projected'))
  const asked = { ...boundTo('Pod', 'projected'), expirationSeconds: 3607 }
  const { token, expirationTimestamp } = (await ask(asked)).body.status
  const lifeOf = (text: string) => decodeJwt(text).exp! - decodeJwt(text).iat!
  expect(lifeOf(token)).toBe(365 * 24 * 3600)
  expect((decodeJwt(token)['kubernetes.io'] as { warnafter: number }).warnafter - decodeJwt(token).iat!).toBe(3607)
  expect(Date.parse(expirationTimestamp) / 1000 - decodeJwt(token).iat!).toBeLessThanOrEqual(3608)
  expect(lifeOf((await ask({ ...asked, audiences: ['vault'] })).body.status.token)).toBe(3607)
  const strict = await api.startAnother({ serviceAccountExtendTokenExpiration: false, serviceAccountMaxTokenExpiration: 7_200_000 })
  expect(lifeOf((await ask(asked, 'default', strict.rest)).body.status.token)).toBe(3607)
  const long = await ask({ expirationSeconds: 90_000 }, 'default', strict.rest)
  expect(lifeOf(long.body.status.token)).toBe(7200)
  expect(long.body.spec.expirationSeconds).toBe(7200)
  expect(long.headers['warning']).toContain('requested expiration of 90000 seconds shortened to 7200 seconds')
  strict.rest.close()
  await strict.server.close()
})

describe('the issuer', () => {
  it('shows by which keys others check tokens: one accepts a token for itself and refuses another’s', async () => {
    const discovered = await rest('GET', '/.well-known/openid-configuration')
    expect(discovered.headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'public, max-age=3600' })
    expect(discovered.body).toEqual({
      issuer: ours,
      jwks_uri: `https://127.0.0.1:${api.server.port}/openid/v1/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    })
    const served = await rest('GET', new URL(discovered.body.jwks_uri).pathname)
    expect(served.headers).toMatchObject({ 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=3600' })
    const keys = JSON.parse(served.text) as JSONWebKeySet
    expect(keys.keys).toMatchObject([{ use: 'sig', kty: 'EC', crv: 'P-256', alg: 'ES256', kid: expect.any(String) }])
    expect(keys.keys[0]).not.toHaveProperty('d')

    await rest('POST', pods, pod('client'))
    const { token } = (await ask({ ...boundTo('Pod', 'client'), audiences: ['vault'] })).body.status
    const verifier = createLocalJWKSet(keys)
    const checked = await jwtVerify(token, verifier, { issuer: discovered.body.issuer, audience: 'vault' })
    expect(checked.payload).toMatchObject({
      sub: 'system:serviceaccount:default:default',
      'kubernetes.io': { namespace: 'default', pod: { name: 'client' } },
    })
    await expect(jwtVerify(token, verifier, { issuer: ours, audience: 'database' })).rejects.toThrow('unexpected "aud" claim value')
    await expect(jwtVerify(`${token.slice(0, -6)}AAAAAA`, verifier, { issuer: ours, audience: 'vault' })).rejects.toThrow('signature')
  })

  it('has no documents when it is no HTTPS URL', async () => {
    const { rest: other, server } = await api.startAnother({ serviceAccountIssuer: ['kubernetes/here', ours] })
    expect((await other('GET', '/.well-known/openid-configuration')).code).toBe(404)
    expect((await other('GET', '/openid/v1/jwks')).code).toBe(404)
    // Tokens of its former name are good still.
    const { token } = (await ask({ audiences: [ours] })).body.status
    expect((await other('GET', configMaps, undefined, bearer(token))).code).toBe(200)
    const own = (await ask({}, 'default', other)).body.status.token
    expect(decodeJwt(own)).toMatchObject({ iss: 'kubernetes/here', aud: ['kubernetes/here', ours] })
    other.close()
    await server.close()
  })
})
