/** Ways in beside certificates and service accounts, each with the real thing at its other end. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAuthority, sign, type Pair } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import {
  startOidcIssuer,
  startTokenWebhook,
  webhookKubeconfig,
  type OidcIssuer,
  type TokenWebhook,
} from '../../fixtures/identityproviders.ts'
import { configMaps } from './setup.ts'

let dir: string
let authority: Pair
let proxyAuthority: Pair
let issuer: OidcIssuer
let webhook: TokenWebhook
let api: ApiServerFixture
let rest: Rest
const file = async (name: string, text: string): Promise<string> => {
  await writeFile(join(dir, name), text, { mode: 0o600 })
  return join(dir, name)
}
const configuration = (more: object = {}) =>
  JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'AuthenticationConfiguration',
    jwt: [
      {
        issuer: { url: issuer.url, audiences: ['cluster', 'other'], audienceMatchPolicy: 'MatchAny', certificateAuthority: authority.cert },
        claimMappings: {
          username: { claim: 'email', prefix: 'oidc:' },
          groups: { claim: 'roles', prefix: 'oidc:' },
          uid: { claim: 'sub' },
        },
        claimValidationRules: [{ claim: 'hd', requiredValue: 'example.com' }],
      },
    ],
    anonymous: { enabled: true, conditions: [{ path: '/livez' }, { path: '/readyz' }] },
    ...more,
  })
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-authn-'))
  ;[authority, proxyAuthority] = await Promise.all([makeAuthority(), makeAuthority()])
  const pair = await sign(authority, { commonName: 'provider', names: { dns: ['localhost'], ips: ['127.0.0.1'] } })
  ;[issuer, webhook] = await Promise.all([startOidcIssuer(pair), startTokenWebhook(pair)])
  api = await startTestApiServer({
    enableBootstrapTokenAuth: true,
    tokenAuthFile: await file('tokens.csv', '# comment\nsecret-1,ann,7,"a,b"\nsecret-2,"ben ""x""",8\n'),
    authenticationConfig: await file('authentication.yaml', configuration()),
    authenticationTokenWebhookConfigFile: await file('webhook.yaml', webhookKubeconfig(webhook.url, authority)),
    requestheaderClientCaFile: await file('proxy.crt', proxyAuthority.cert),
    requestheaderAllowedNames: ['front'],
  })
  rest = api.rest
})
afterAll(async () => {
  await api?.stop()
  await issuer?.stop()
  await webhook?.stop()
  if (dir) await rm(dir, { recursive: true })
})

const reviewOf = async (token: string) =>
  (await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })).body.status
const withToken = (token: string) => rest('GET', configMaps, undefined, { as: 'nobody', headers: { authorization: `Bearer ${token}` } })

it('a file of tokens', async () => {
  expect((await reviewOf('secret-1')).user).toEqual({ username: 'ann', uid: '7', groups: ['a', 'b', 'system:authenticated'] })
  expect((await reviewOf('secret-2')).user).toEqual({ username: 'ben "x"', uid: '8', groups: ['system:authenticated'] })
  expect((await withToken('secret-1')).code).not.toBe(401)
  expect((await withToken('secret-3')).code).toBe(401)
  await expect(startTestApiServer({ tokenAuthFile: await file('short.csv', 'a,b\n') })).rejects.toThrow('must have at least 3 columns')
})

describe('bootstrap tokens', () => {
  const secrets = '/api/v1/namespaces/kube-system/secrets'
  const make = (id: string, data: object = {}) =>
    rest('POST', secrets, {
      metadata: { name: `bootstrap-token-${id}` },
      type: 'bootstrap.kubernetes.io/token',
      stringData: { 'token-id': id, 'token-secret': '0123456789abcdef', 'usage-bootstrap-authentication': 'true', ...data },
    })
  it('stand for a machine that has nothing else, until they end', async () => {
    await make('aaaaaa', {
      expiration: new Date(Date.now() + 3600_000).toISOString(),
      'auth-extra-groups': 'system:bootstrappers:kubeadm:default',
    })
    expect((await reviewOf('aaaaaa.0123456789abcdef')).user).toEqual({
      username: 'system:bootstrap:aaaaaa',
      groups: ['system:bootstrappers', 'system:bootstrappers:kubeadm:default', 'system:authenticated'],
    })
    expect((await withToken('aaaaaa.0123456789abcdef')).code).not.toBe(401)
    expect((await reviewOf('aaaaaa.0123456789abcdee')).error).toBe('invalid bearer token')
    await rest('DELETE', `${secrets}/bootstrap-token-aaaaaa`)
    expect((await withToken('aaaaaa.0123456789abcdef')).code).toBe(401)
  })
  it.each([
    ['bbbbbb', { expiration: '2020-01-01T00:00:00Z' }],
    ['cccccc', { expiration: 'soon' }],
    ['dddddd', { 'usage-bootstrap-authentication': 'false' }],
    ['eeeeee', { 'auth-extra-groups': 'system:masters' }],
    ['ffffff', { 'token-id': 'gggggg' }],
  ])('%s is none', async (id, data) => {
    await make(id, data)
    expect(await reviewOf(`${id}.0123456789abcdef`)).toEqual({ user: {}, error: 'invalid bearer token' })
    await rest('DELETE', `${secrets}/bootstrap-token-${id}`)
  })
})

describe('an OIDC provider', () => {
  const claims = { email: 'ann@example.com', hd: 'example.com', roles: ['dev'], sub: '42' }
  it('says who somebody is', async () => {
    const token = await issuer.token({ ...claims, aud: 'cluster' })
    expect((await reviewOf(token)).user).toEqual({
      username: 'oidc:ann@example.com',
      uid: '42',
      groups: ['oidc:dev', 'system:authenticated'],
    })
    expect((await withToken(token)).code).not.toBe(401)
    const asked = issuer.requests
    for (let i = 0; i < 3; i++) await withToken(token)
    expect((await reviewOf(await issuer.token({ ...claims, aud: ['x', 'other'] }))).authenticated).toBe(true)
    expect(issuer.requests).toBe(asked)
  })
  it.each([
    ['for another audience', { ...claims, aud: 'x' }, 'unexpected "aud" claim value'],
    ['that has ended', { ...claims, aud: 'cluster', exp: 1 }, '"exp" claim timestamp check failed'],
    ['without a user', { ...claims, aud: 'cluster', email: undefined }, 'claim not present'],
    ['of another domain', { ...claims, aud: 'cluster', hd: 'evil.com' }, 'required claim hd value does not match'],
    ['of an address that was not verified', { ...claims, aud: 'cluster', email_verified: false }, 'oidc: email not verified'],
  ])('but not a token %s', async (_, of, why) => {
    const token = await issuer.token(of)
    expect((await reviewOf(token)).error).toContain(why)
    expect((await withToken(token)).code).toBe(401)
  })
  it('but not with a key that is not the provider’s', async () => {
    const [head, body] = (await issuer.token({ ...claims, aud: 'cluster' })).split('.')
    expect((await reviewOf(`${head}.${body}.${'A'.repeat(86)}`)).error).toContain('signature verification failed')
  })
  it('is asked in CEL', async () => {
    const jwt = {
      issuer: { url: issuer.url, audiences: ['cluster'], certificateAuthority: authority.cert },
      claimValidationRules: [{ expression: "claims.hd == 'example.com'", message: 'another domain' }],
      claimMappings: {
        username: { expression: "claims.?email_verified.orValue(true) ? 'cel:' + claims.email : ''" },
        groups: { expression: "claims.roles.map(r, 'team-' + r) + ['all']" },
        uid: { expression: 'claims.sub' },
        extra: [{ key: 'example.com/roles', valueExpression: 'claims.roles' }],
      },
      userValidationRules: [{ expression: "!user.username.startsWith('cel:system')", message: 'is reserved' }],
    }
    const more = await api.startAnother({ authenticationConfig: await file('cel.yaml', configuration({ jwt: [jwt] })) })
    try {
      const review = async (of: object) => {
        const token = await issuer.token({ ...claims, aud: 'cluster', ...of })
        return (await more.rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })).body.status
      }
      expect((await review({})).user).toEqual({
        username: 'cel:ann@example.com',
        uid: '42',
        groups: ['team-dev', 'all', 'system:authenticated'],
        extra: { 'example.com/roles': ['dev'] },
      })
      expect((await review({ hd: 'evil.com' })).error).toContain(
        "validation expression 'claims.hd == 'example.com'' failed: another domain",
      )
      expect((await review({ email_verified: false })).error).toContain('empty username via CEL expression is not allowed')
      expect((await review({ email: 'system:x' })).error).toContain('failed: is reserved')
      expect((await review({ roles: undefined })).error).toContain('resulted in error: no such key: roles')
      expect((await review({ sub: 42 })).error).toContain('uid claim expression must return a string')
    } finally {
      more.rest.close()
      await more.server.close()
    }
  })
  it('must be named well', async () => {
    const refused = async (more: object) =>
      startTestApiServer({ authenticationConfig: await file('bad.yaml', configuration(more)) }).then(
        a => a.stop().then(() => ''),
        (e: Error) => e.message,
      )
    const jwt = { issuer: { url: 'http://x', audiences: [] }, claimMappings: { username: { expression: 'claims.sub +' } } }
    const why = await refused({ jwt: [jwt] })
    expect(why).toContain('jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https')
    expect(why).toContain(
      'jwt[0].claimMappings.username.expression: Invalid value: "claims.sub +": compilation failed: ERROR: <input>:1:13',
    )
    expect(why).toContain('at least one jwt.issuer.audiences is required')
    const unverified = { ...jwt, claimMappings: { username: { expression: 'claims.email' } } }
    expect(await refused({ jwt: [unverified] })).toContain('claims.email_verified must be used in claimMappings.username.expression')
    expect(await refused({ nonsense: 1 })).toContain('unknown field "nonsense"')
  })
})

describe('a webhook', () => {
  it('says who somebody is, once', async () => {
    expect((await reviewOf('from-webhook')).user).toEqual({
      username: 'webhook-user',
      uid: '9',
      groups: ['w', 'system:authenticated'],
      extra: { k: ['v'] },
    })
    const asked = webhook.reviews.length
    expect((await withToken('from-webhook')).code).not.toBe(401)
    expect(webhook.reviews.length).toBe(asked)
    expect(webhook.reviews.at(-1)).toMatchObject({ apiVersion: 'authentication.k8s.io/v1', authorization: 'Bearer the-server' })
  })
  it('says why not', async () => {
    expect((await reviewOf('unknown')).error).toBe('[invalid bearer token, never heard of it]')
    expect((await withToken('unknown')).code).toBe(401)
  })
})

it('strangers may come where the configuration says, and nowhere else', async () => {
  const get = (path: string) => rest('GET', path, undefined, { as: 'nobody' })
  expect((await get('/livez')).code).toBe(200)
  expect((await get('/version')).code).toBe(401)
  const closed = await api.startAnother({ authenticationConfig: undefined, anonymousAuth: false })
  expect((await closed.rest('GET', '/livez', undefined, { as: 'nobody' })).code).toBe(401)
  closed.rest.close()
  await closed.server.close()
})

describe('a front proxy', () => {
  const ask = async (pair: Pair, headers: Record<string, string | string[]>) => {
    const agent = new Agent({ ca: api.ca.cert, cert: pair.cert, key: pair.key })
    try {
      return await new Promise<{ code: number; text: string }>((resolve, reject) => {
        const req = httpsRequest(new URL('/apis/nothing.example.com/v1', api.url), { agent, headers }, res => {
          let text = ''
          res.on('data', (d: Buffer) => (text += d.toString()))
          res.on('end', () => resolve({ code: res.statusCode ?? 0, text }))
        })
        req.on('error', reject)
        req.end()
      })
    } finally {
      agent.destroy()
    }
  }
  const remote = { 'X-Remote-User': 'system:anonymous', 'X-Remote-Group': 'system:unauthenticated' }
  it('speaks for others, with a certificate of its own authority and an allowed name', async () => {
    const front = await sign(proxyAuthority, { commonName: 'front' })
    // Whom nobody allows anything: that the refusal names the user shows who it was.
    expect(await ask(front, remote)).toMatchObject({
      code: 403,
      text: expect.stringContaining('User \\"system:anonymous\\" cannot get path'),
    })
    expect((await ask(front, { ...remote, 'X-Remote-User': 'zoe' })).text).toContain('User \\"zoe\\" cannot get path')
    // Nobody in particular is nobody: the authority of clients does not know the certificate.
    expect((await ask(front, {})).code).toBe(401)
    expect((await ask(await sign(proxyAuthority, { commonName: 'another' }), remote)).code).toBe(401)
  })
  it('is nobody’s client, and no client is one', async () => {
    const masters = await sign(proxyAuthority, { commonName: 'front', organizations: ['system:masters'] })
    expect((await ask(masters, {})).code).toBe(401)
    // The administrator stays the administrator.
    expect((await ask(api.admin, remote)).code).toBe(404)
    expect((await ask(await sign(api.ca, { commonName: 'front' }), { ...remote, 'X-Remote-Group': 'system:masters' })).text).not.toContain(
      'anonymous',
    )
  })
  it('is made known to other servers', async () => {
    const { data } = (await rest('GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication')).body
    expect(data).toMatchObject({
      'client-ca-file': api.ca.cert,
      'requestheader-client-ca-file': proxyAuthority.cert,
      'requestheader-allowed-names': '["front"]',
      'requestheader-username-headers': '["X-Remote-User"]',
    })
  })
})

it('the configuration is read again when it changes; one that is wrong changes nothing', async () => {
  const configFile = await file('reloaded.yaml', configuration())
  const { rest: other, server } = await api.startAnother({ authenticationConfig: configFile })
  const token = await issuer.token({ aud: 'cluster', email: 'kim', sub: '1', hd: 'example.com' })
  const who = async () =>
    (await other('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })).body.status.user?.username
  const metric = async (name: string) =>
    (await other('GET', '/metrics')).text.split('\n').filter(l => l.startsWith(`apiserver_authentication_config_controller_${name}{`))
  expect(await who()).toBe('oidc:kim')
  const [first] = await metric('last_config_info')
  await writeFile(configFile, '{"kind": "Nonsense"}')
  await expect.poll(() => metric('automatic_reloads_total')).toEqual([expect.stringMatching(/status="failure".* 1$/)])
  expect(await who()).toBe('oidc:kim')
  await writeFile(configFile, configuration().replaceAll('oidc:', 'other:'))
  await expect.poll(who).toBe('other:kim')
  await expect.poll(async () => (await metric('automatic_reloads_total')).join()).toMatch(/status="success"[^}]*} 1/)
  const [second, ...more] = await metric('last_config_info')
  expect([more, second === first]).toEqual([[], false])
  await server.close()
})
