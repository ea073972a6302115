/** Certificates by CertificateSigningRequest: asked for, approved, signed, used; and who may not. */
import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '#shared/api/kinds.ts'
import { makeAuthority } from '#shared/certificates/certificate.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { newRest } from '../../fixtures/apiserver.ts'
import { newRequest, type Asked } from '#shared/certificates/newrequest.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
const client = 'kubernetes.io/kube-apiserver-client'
beforeAll(async () => {
  c = await startControl()
  await c.control({ signing: { ...c.api.ca, lifeMs: 24 * 3600_000 } })
})
afterAll(() => c?.stop())

const kubectl = (...args: string[]) => runTool('kubectl', c.api.kubeconfig, args)
const get = (name: string) => c.client.get(certificateSigningRequests, '', name)
const ask = async (name: string, asked: Asked, spec: object = {}) => {
  const { key, request } = await newRequest(asked)
  const sent = { metadata: { name }, spec: { request, signerName: client, usages: ['client auth'], ...spec } }
  return { key, request, answer: await c.api.rest('POST', path, sent) }
}
const decide = async (name: string, type: 'Approved' | 'Denied', headers: Record<string, string> = {}) => {
  const csr = await get(name)
  const status = { conditions: [{ type, status: 'True', reason: 'Test' }] }
  return c.api.rest('PUT', `${path}/${name}/approval`, { ...csr, status }, { headers })
}
const issued = (name: string) =>
  until('the certificate', async () => {
    const { status } = await get(name)
    return status?.certificate !== undefined && Buffer.from(status.certificate, 'base64').toString()
  })
const failure = (name: string) =>
  until('the failure', async () => (await get(name)).status?.conditions?.find(f => f.type === 'Failed')?.message)

test('a client gets a certificate with kubectl certificate approve, and is who it says', async () => {
  const { key, answer } = await ask('bob', { commonName: 'bob', organizations: ['dev', 'ops'] }, { expirationSeconds: 3600 })
  expect(answer.body.spec).toMatchObject({ username: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] })
  expect(answer.body.spec.extra['authentication.kubernetes.io/credential-id']).toEqual([expect.stringMatching(/^X509SHA256=[0-9a-f]{64}$/)])
  expect((await kubectl('get', 'csr')).stdout).toMatch(/^bob +\d+s +kubernetes.io\/kube-apiserver-client +kubernetes-admin +60m +Pending/m)
  expect((await kubectl('certificate', 'approve', 'bob')).stdout).toContain('certificatesigningrequest.certificates.k8s.io/bob approved')
  const cert = await issued('bob')
  expect((await kubectl('get', 'csr', 'bob')).stdout).toContain('Approved,Issued')
  const x509 = new X509Certificate(cert)
  expect(x509.subject.split('\n').sort()).toEqual(['CN=bob', 'O=dev', 'O=ops'])
  expect([x509.ca, x509.keyUsage]).toEqual([false, ['1.3.6.1.5.5.7.3.2']])
  expect((Date.parse(x509.validTo) - Date.parse(x509.validFrom)) / 60_000).toBe(65)
  const rest = newRest(c.api.url, c.api.ca, { cert, key })
  const review = await rest('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
  })
  // Whether it may ask or not, it is known.
  expect(review.code).not.toBe(401)
  rest.close()
})

test('kubectl certificate deny: nothing is signed, and it cannot be approved any more', async () => {
  await ask('eve', { commonName: 'eve' })
  expect((await kubectl('certificate', 'deny', 'eve')).stdout).toContain('eve denied')
  const csr = await get('eve')
  const conditions = [...csr.status!.conditions!, { type: 'Approved', status: 'True' }]
  const both = await c.api.rest('PUT', `${path}/eve/approval`, { ...csr, status: { conditions } })
  expect(both.body.message).toContain('Approved and Denied conditions are mutually exclusive')
  expect((await c.api.rest('PUT', `${path}/eve/approval`, { ...csr, status: {} })).body.message).toContain(
    'status.conditions: Forbidden: updates may not remove a condition of type "Denied"',
  )
})

describe('what the signers do not sign', () => {
  test.each([
    ['for a client', client, { commonName: 'x' }, ['server auth'], 'invalid usage for client certificate: server auth'],
    [
      'for a kubelet',
      `${client}-kubelet`,
      { commonName: 'system:node:x' },
      ['client auth', 'digital signature'],
      'subject organization is not system:nodes',
    ],
    [
      'for a kubelet that is none',
      `${client}-kubelet`,
      { commonName: 'x', organizations: ['system:nodes'] },
      ['client auth', 'digital signature'],
      'subject common name does not begin with system:node:',
    ],
    [
      'for a server without a name',
      'kubernetes.io/kubelet-serving',
      { commonName: 'system:node:x', organizations: ['system:nodes'] },
      ['server auth', 'digital signature'],
      'DNS or IP subjectAltName is required',
    ],
  ])('%s', async (what, signerName, asked, usages, message) => {
    const name = what.replaceAll(' ', '-')
    await ask(name, asked, { signerName, usages })
    expect((await decide(name, 'Approved')).code).toBe(200)
    expect(await failure(name)).toBe(message)
    expect((await get(name)).status).not.toHaveProperty('certificate')
  })

  test('a kubelet’s server has its names in the certificate', async () => {
    const asked = { commonName: 'system:node:n', organizations: ['system:nodes'], dns: ['n.local'], ips: ['10.0.0.7'] }
    await ask('serving', asked, { signerName: 'kubernetes.io/kubelet-serving', usages: ['server auth', 'digital signature'] })
    await decide('serving', 'Approved')
    const x509 = new X509Certificate(await issued('serving'))
    expect([x509.checkHost('n.local'), x509.checkIP('10.0.0.7')]).toEqual(['n.local', '10.0.0.7'])
    expect(x509.verify(new X509Certificate(c.api.ca.cert).publicKey)).toBe(true)
    // What is signed is never signed anew.
    const csr = await get('serving')
    const again = { ...csr, status: { ...csr.status, certificate: Buffer.from(c.api.ca.cert).toString('base64') } }
    expect((await c.api.rest('PUT', `${path}/serving/status`, again)).body.message).toContain(
      'status.certificate: Forbidden: updates may not modify existing certificate content',
    )
  })
})

describe('bad requests', () => {
  test('are refused with all that is wrong', async () => {
    const pem = (text: string) => Buffer.from(text).toString('base64')
    const { answer, request } = await ask(
      'bad',
      { commonName: 'x' },
      { signerName: 'nobody', usages: ['fly', 'any', 'any'], expirationSeconds: 5 },
    )
    expect(
      answer.body.details.causes.map((cause: { field: string; message: string }) => `${cause.field}: ${cause.message.split(':')[0]}`),
    ).toEqual([
      'spec.usages[0]: Unsupported value',
      'spec.usages[2]: Duplicate value',
      'spec.signerName: Invalid value',
      'spec.expirationSeconds: Invalid value',
    ])
    const sent = async (text: string) =>
      (await c.api.rest('POST', path, { metadata: { name: 'bad' }, spec: { request: text, signerName: 'a.b/c', usages: [] } })).body.message
    expect(await sent(pem('hello'))).toMatch(
      /spec.request: Invalid value: .*PEM block type must be CERTIFICATE REQUEST.*spec.usages: Required value/,
    )
    expect(await sent(pem('-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n'))).toContain(
      'asn1: structure error',
    )
    // Another's name in a request that was signed for x.
    const der = Buffer.from(Buffer.from(request, 'base64').toString().split('\n').slice(1, -2).join(''), 'base64')
    const at = der.indexOf(Buffer.from([0x0c, 0x01, 0x78]))
    der[at + 2] = 0x79
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    expect(await sent(pem(forged))).toContain('the signature of the request is not by its key')
    // The same text as a TeletexString, which the check would not see.
    der[at] = 0x14
    const odd = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    expect(await sent(pem(odd))).toContain('the subject is in an encoding that is not supported')
  })

  test('nobody asks for system:masters, or changes what was asked', async () => {
    const { answer } = await ask('root', { commonName: 'x', organizations: ['system:masters'] })
    expect(answer.body).toMatchObject({
      code: 403,
      message:
        'certificatesigningrequests.certificates.k8s.io "root" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed',
    })
    await ask('fixed', { commonName: 'x' })
    const csr = await get('fixed')
    const spec = { ...csr.spec, usages: ['any'], username: 'other' }
    expect((await c.api.rest('PUT', `${path}/fixed`, { ...csr, spec })).body.spec).toEqual(csr.spec)
    delete csr.metadata.resourceVersion
    const status = { conditions: [{ type: 'Approved', status: 'True' }] }
    expect((await c.api.rest('PUT', `${path}/fixed/status`, { ...csr, status })).body.message).toContain(
      'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
    )
    const selected: { items: CertificateSigningRequest[] } = (await c.api.rest('GET', `${path}?fieldSelector=spec.signerName%3Da.b/c`)).body
    expect(selected.items).toEqual([])
  })
})

test('a signer with an authority of its own signs with that; one without any does not sign', async () => {
  const other = await makeAuthority()
  await c.stopControllers()
  await c.control({ signing: { cert: '', key: '', authorities: { 'kubernetes.io/kubelet-serving': other }, lifeMs: 24 * 3600_000 } })
  await ask('unsigned', { commonName: 'x' })
  await decide('unsigned', 'Approved')
  const asked = { commonName: 'system:node:o', organizations: ['system:nodes'], dns: ['o.local'] }
  await ask('own', asked, { signerName: 'kubernetes.io/kubelet-serving', usages: ['server auth', 'digital signature'] })
  await decide('own', 'Approved')
  expect(new X509Certificate(await issued('own')).verify(new X509Certificate(other.cert).publicKey)).toBe(true)
  expect((await get('unsigned')).status).not.toHaveProperty('certificate')
})
