/** ClusterTrustBundles: what is in them, who may attest for a signer, who may read; and the one that the cluster makes itself. */
import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clusterTrustBundles } from '#shared/api/kinds.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { merge } from '../apiserver/setup.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
const path = '/apis/certificates.k8s.io/v1beta1/clustertrustbundles'
const [one, two] = [makeAuthority('one').cert, makeAuthority('two').cert]
const serving = 'kubernetes.io/kube-apiserver-serving'
beforeAll(async () => {
  c = await startControl()
  await c.control({ rootCa: c.api.ca.cert })
})
afterAll(() => c?.stop())

const bundle = (name: string, trustBundle: string, signerName?: string) => ({ metadata: { name }, spec: { signerName, trustBundle } })
const create = (object: object, headers = {}) => c.api.rest('POST', path, object, { headers })
const as = (user: string, ...groups: string[]) => ({ 'impersonate-user': user, 'impersonate-group': groups.join(', ') })
const published = () => c.client.list(clusterTrustBundles, '', { fieldSelector: `spec.signerName=${serving}` }).then(l => l.items)

describe('what is refused', () => {
  const key = String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }))
  const wrong = (why: string) => `spec.trustBundle: Invalid value: "<value omitted>": ${why}`
  test.each([
    ['nothing', bundle('n', ''), wrong('at least one trust anchor must be provided')],
    ['a private key', bundle('n', one + key), wrong('entry 1 has bad block type: PRIVATE KEY')],
    ['one twice', bundle('n', one + two + one), wrong('duplicate trust anchor (indices [0 2])')],
    ['headers', bundle('n', one.replace('-\n', '-\nA: b\n\n')), wrong('entry 0 has PEM block headers')],
    [
      'no certificate',
      bundle('n', '-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n'),
      wrong('entry 0 does not parse as X.509'),
    ],
    [
      'a colon without a signer',
      bundle('a:b', one),
      'metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name',
    ],
    [
      'a name of another signer',
      bundle('other.com:s:a', one, 'example.com/s'),
      'metadata.name: Invalid value: "other.com:s:a": ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:',
    ],
  ])('%s', async (_, object, why) => {
    const answer = await create(object)
    expect(answer.code).toBe(422)
    expect(answer.body.message).toBe(`ClusterTrustBundle.certificates.k8s.io "${object.metadata.name}" is invalid: ${why}`)
  })
  test('a certificate of no authority', async () => {
    const { cert } = sign(makeAuthority('one'), { commonName: 'leaf' })
    expect((await create(bundle('n', cert))).body.message).toContain(wrong('entry 0 does not have the CA bit set'))
  })
  test('another signer later', async () => {
    expect((await create(bundle('example.com:s:fixed', one, 'example.com/s'))).code).toBe(201)
    const change = await c.api.rest('PATCH', `${path}/example.com:s:fixed`, { spec: { signerName: 'example.com/t' } }, merge)
    expect(change.body.message).toContain('spec.signerName: Invalid value: "example.com/t": field is immutable')
  })
})

test('who attests for a signer needs the permission, for it or for its domain', async () => {
  const rules = [
    { apiGroups: ['certificates.k8s.io'], resources: ['clustertrustbundles'], verbs: ['create', 'patch'] },
    { apiGroups: ['certificates.k8s.io'], resources: ['signers'], resourceNames: ['example.com/*'], verbs: ['attest'] },
  ]
  const rbac = '/apis/rbac.authorization.k8s.io/v1'
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'attests' }
  await c.api.rest('POST', `${rbac}/clusterroles`, { metadata: { name: 'attests' }, rules })
  await c.api.rest('POST', `${rbac}/clusterrolebindings`, {
    metadata: { name: 'attests' },
    roleRef,
    subjects: [{ kind: 'User', name: 'ann' }],
  })
  expect((await create(bundle('example.com:ann:a', one, 'example.com/ann'), as('ann'))).code).toBe(201)
  const refused = await create(bundle('other.com:ann:a', one, 'other.com/ann'), as('ann'))
  expect(refused.body).toMatchObject({
    code: 403,
    message:
      'clustertrustbundles.certificates.k8s.io "other.com:ann:a" is forbidden: user not permitted to attest for signerName "other.com/ann"',
  })
  // Of nobody in particular: no signer is asked about.
  expect((await create(bundle('plain', one), as('ann'))).code).toBe(201)
  // What collectors change is none of it.
  await create(bundle('other.com:x:a', one, 'other.com/x'))
  const patch = (body: object) => c.api.rest('PATCH', `${path}/other.com:x:a`, body, { headers: { ...merge.headers, ...as('ann') } })
  expect((await patch({ metadata: { finalizers: ['example.com/f'] } })).code).toBe(200)
  expect((await patch({ metadata: { labels: { a: 'b' } } })).code).toBe(403)
})

test('service accounts and nodes read all of them, users do not', async () => {
  const reads = async (...who: [string, ...string[]]) => (await c.api.rest('GET', path, undefined, { headers: as(...who) })).code
  expect(await reads('system:serviceaccount:default:default', 'system:serviceaccounts', 'system:authenticated')).toBe(200)
  expect(await reads('system:node:n1', 'system:nodes', 'system:authenticated')).toBe(200)
  expect(await reads('jane', 'system:authenticated')).toBe(403)
})

test('the authority of the API servers is published, alone, and comes back', async () => {
  const found = await until('the bundle', async () => (await published())[0])
  expect(found.metadata.name).toMatch(/^kubernetes\.io:kube-apiserver-serving:[0-9a-f]{24}$/)
  expect(found.spec.trustBundle).toBe(c.api.ca.cert)
  await create(bundle('kubernetes.io:kube-apiserver-serving:old', one, serving))
  await c.client.delete(clusterTrustBundles, '', found.metadata.name!)
  await until('ours alone', async () => {
    const now = await published()
    return now.length === 1 && now[0]!.metadata.uid !== found.metadata.uid && now[0]!.metadata.name === found.metadata.name
  })
  const table = await runTool('kubectl', c.api.kubeconfig, ['get', 'clustertrustbundles', 'plain', found.metadata.name!])
  expect(table.stdout.split('\n').map(l => l.split(/ +/))).toEqual([
    ['NAME', 'SIGNERNAME'],
    ['plain', '<none>'],
    [found.metadata.name, serving],
  ])
})
