import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { addServiceAccount, bindTo, configMap, configMaps, pod, pods, letEverybody } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const tokens = '/api/v1/namespaces/default/serviceaccounts/default/token'
const bearer = (token: string) => ({ as: 'nobody' as const, headers: { authorization: `Bearer ${token}` } })
const request = (spec: object) => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec })
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
  await letEverybody(rest)
})
afterAll(() => api?.stop())

describe('who may come in', () => {
  it('nobody without credentials, but for health and version', async () => {
    expect((await rest('GET', '/version', undefined, { as: 'nobody' })).body.gitCommit).toMatch(/^[0-9a-f]{40}$/)
    for (const path of ['/version', '/livez', '/readyz', '/healthz'])
      expect((await rest('GET', path, undefined, { as: 'nobody' })).code).toBe(200)
    for (const path of ['/api', '/metrics', '/openapi/v3', '/']) {
      expect((await rest('GET', path, undefined, { as: 'nobody' })).body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: `forbidden: User "system:anonymous" cannot get path "${path}"`,
        reason: 'Forbidden',
        details: {},
        code: 403,
      })
    }
    expect((await rest('DELETE', `${pods}/x`, undefined, { as: 'nobody' })).body).toMatchObject({
      code: 403,
      message: 'pods "x" is forbidden: User "system:anonymous" cannot delete resource "pods" in API group "" in the namespace "default"',
    })
    expect((await rest('POST', '/livez', {}, { as: 'nobody' })).code).toBe(403)
    expect((await rest('GET', '/api', undefined, bearer('nonsense'))).code).toBe(401)
    expect((await rest('GET', '/version', undefined, bearer('nonsense'))).code).toBe(401)
  })

  it('a service account with its token, as long as it is there', async () => {
    const { code, body } = await rest('POST', tokens, request({ audiences: [], expirationSeconds: 700 }))
    expect(code).toBe(201)
    const claims = JSON.parse(Buffer.from(body.status.token.split('.')[1], 'base64url').toString())
    expect(claims).toMatchObject({
      sub: 'system:serviceaccount:default:default',
      'kubernetes.io': { namespace: 'default', serviceaccount: { name: 'default' } },
    })
    expect(claims.exp - claims.iat).toBe(700)
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(200)
    const review = await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: body.status.token } })
    expect(review.body.status).toMatchObject({
      authenticated: true,
      user: {
        username: 'system:serviceaccount:default:default',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
      },
    })
    await rest('DELETE', '/api/v1/namespaces/default/serviceaccounts/default')
    await addServiceAccount(rest)
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(401)
  })

  it('a token that is bound to a pod ends with it', async () => {
    await rest('POST', pods, pod('bound'))
    await bindTo(rest, 'bound', 'n1')
    const { body } = await rest('POST', tokens, request({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'bound' } }))
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(200)
    const review = await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: body.status.token } })
    expect(review.body.status.user.extra).toMatchObject({
      'authentication.kubernetes.io/pod-name': ['bound'],
      'authentication.kubernetes.io/node-name': ['n1'],
    })
    await rest('DELETE', `${pods}/bound`, { gracePeriodSeconds: 0 })
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(401)
  })

  it('a token that is bound to a node ends with it', async () => {
    await rest('POST', '/api/v1/nodes', { metadata: { name: 'bound-node' } })
    const { body } = await rest('POST', tokens, request({ boundObjectRef: { apiVersion: 'v1', kind: 'Node', name: 'bound-node' } }))
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(200)
    await rest('DELETE', '/api/v1/nodes/bound-node')
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(401)
  })

  it('tokens of unfit lifetimes are refused', async () => {
    expect((await rest('POST', tokens, request({ expirationSeconds: 60 }))).body).toMatchObject({
      code: 422,
      message:
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes',
    })
  })

  it('tokens for others and by others are refused', async () => {
    const { body } = await rest('POST', tokens, request({ audiences: ['vault'] }))
    expect((await rest('GET', configMaps, undefined, bearer(body.status.token))).code).toBe(401)
    const review = (audiences: string[]) =>
      rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: body.status.token, audiences } })
    expect((await review(['vault', 'x'])).body.status).toMatchObject({ authenticated: true, audiences: ['vault'] })
    expect((await review(['x'])).body.status.authenticated).toBeUndefined()
    const [head, claims, signature] = body.status.token.split('.')
    const forged = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url').toString()), aud: ['https://kubernetes.default.svc.cluster.local'] }),
    ).toString('base64url')
    expect((await rest('GET', configMaps, undefined, bearer([head, forged, signature].join('.')))).code).toBe(401)
    expect((await rest('POST', tokens, request({ expirationSeconds: 5 }))).body).toMatchObject({
      code: 422,
      details: { causes: [{ field: 'spec.expirationSeconds' }] },
    })
  })
})

describe('somebody acts as somebody else', () => {
  const as = (headers: Record<string, string>) => rest('GET', configMaps, undefined, { headers })
  it('who may do what that one may', async () => {
    expect((await as({ 'impersonate-user': 'bob' })).code).toBe(200)
    expect((await as({ 'impersonate-user': 'system:anonymous' })).body).toMatchObject({
      code: 403,
      message:
        'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"',
    })
    expect((await as({ 'impersonate-user': 'bob', 'impersonate-group': 'system:unauthenticated' })).code).toBe(403)
    expect((await as({ 'impersonate-group': 'a' })).body).toMatchObject({
      message: 'requested uid, groups or user-extra without impersonating a user',
    })
  })

  it('if the asking one may', async () => {
    const headers = { 'impersonate-user': 'bob' }
    expect((await rest('GET', '/livez', undefined, { as: 'nobody', headers })).body).toMatchObject({
      code: 403,
      message: 'users "bob" is forbidden: User "system:anonymous" cannot impersonate resource "users" in API group "" at the cluster scope',
    })
  })

  it('with kubectl --as', async () => {
    const kubectl = (...args: string[]) => runTool('kubectl', api.kubeconfig, args)
    const made = await kubectl('create', 'configmap', 'as-bob', '--as=bob', '--as-group=devs', '--as-group=ops', '--as-uid=7')
    expect(made).toMatchObject({ code: 0, stdout: 'configmap/as-bob created' })
    const { code, stderr } = await kubectl('get', 'configmaps', '--as=system:anonymous')
    expect(code).toBe(1)
    expect(stderr).toContain('Error from server (Forbidden)')
  })
})

it('tokens of a former key are good as long as the key is known', async () => {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const dir = await mkdtemp(join(tmpdir(), 'cox-key-'))
  try {
    const file = join(dir, 'sa.key')
    await writeFile(file, privateKey)
    const { body } = await rest('POST', tokens, request({}))
    const get = (on: Rest) => on('GET', configMaps, undefined, bearer(body.status.token))
    const rotated = await api.startAnother({ serviceAccountSigningKeyFile: file })
    expect((await get(rotated.rest)).code).toBe(200)
    const later = (await rotated.rest('POST', tokens, request({}))).body.status.token
    expect((await rotated.rest('GET', configMaps, undefined, bearer(later))).code).toBe(200)
    const forgotten = await api.startAnother({ serviceAccountSigningKeyFile: file, serviceAccountKeyFile: [] })
    expect((await get(forgotten.rest)).code).toBe(401)
    for (const { rest: own, server } of [rotated, forgotten]) {
      own.close()
      await server.close()
    }
  } finally {
    await rm(dir, { recursive: true })
  }
})

describe('two servers of one cluster', () => {
  it('show each other what they write at once, and continue each other’s lists and watches', async () => {
    const { rest: second, server } = await api.startAnother()
    for (let i = 0; i < 10; i++) {
      const [one, two] = i % 2 ? [rest, second] : [second, rest]
      const { body } = await one('POST', configMaps, configMap(`shared-${i}`))
      expect((await two('GET', `${configMaps}/shared-${i}`)).body).toEqual(body)
    }
    const part = await rest('GET', `${configMaps}?limit=4`)
    const rest2 = await second('GET', `${configMaps}?limit=40&continue=${part.body.metadata.continue}`)
    expect(rest2.body.items.length + 4).toBe((await rest('GET', configMaps)).body.items.length)
    const w = await second.watch(`${configMaps}?watch=true&resourceVersion=${part.body.metadata.resourceVersion}`)
    await rest('POST', configMaps, configMap('told'))
    expect((await w.next()).object.metadata.name).toBe('told')
    w.stop()
    second.close()
    await server.close()
    expect((await rest('GET', `${configMaps}/told`)).code).toBe(200)
  })
})
