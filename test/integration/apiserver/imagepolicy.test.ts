/** ImagePolicyWebhook against a real HTTPS server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { addServiceAccount } from './setup.ts'

let backend: Server
let api: ApiServerFixture
let dir: string
const asked: any[] = [] // any: reviews as they come
let broken = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-images-'))
  const ca = await makeAuthority()
  const [server, client] = await Promise.all([
    sign(ca, { commonName: 'images', names: { dns: ['localhost'], ips: ['127.0.0.1'] } }),
    sign(ca, { commonName: 'kube-apiserver' }),
  ])
  backend = createServer({ cert: server.cert, key: server.key, ca: ca.cert, requestCert: true, rejectUnauthorized: true }, (req, res) => {
    let body = ''
    req.on('data', chunk => (body += chunk))
    req.on('end', () => {
      const review = JSON.parse(body)
      asked.push(review)
      if (broken-- > 0) return res.writeHead(500).end()
      const image: string = review.spec.containers[0].image
      const status = image.startsWith('bad') ? { allowed: false, reason: `${image} is bad` } : { allowed: true }
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ ...review, status }))
    })
  })
  await new Promise<void>(resolve => backend.listen(0, '127.0.0.1', resolve))
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const kubeconfig = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 's', user: 'u' } }],
    clusters: [
      {
        name: 's',
        cluster: {
          server: `https://127.0.0.1:${(backend.address() as AddressInfo).port}/review`,
          'certificate-authority-data': base64(ca.cert),
        },
      },
    ],
    users: [{ name: 'u', user: { 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.key) } }],
  }
  await writeFile(join(dir, 'backend.yaml'), JSON.stringify(kubeconfig))
  const configuration = { imagePolicy: { kubeConfigFile: 'backend.yaml', retryBackoff: 1 } }
  const file = join(dir, 'admission.yaml')
  await writeFile(
    file,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'AdmissionConfiguration',
      plugins: [{ name: 'ImagePolicyWebhook', configuration }],
    }),
  )
  api = await startTestApiServer({ enableAdmissionPlugins: ['ImagePolicyWebhook'], admissionControlConfigFile: file })
  await addServiceAccount(api.rest)
})
afterAll(async () => {
  await api?.stop()
  await new Promise(resolve => backend?.close(resolve))
  await rm(dir, { recursive: true, force: true })
})

const pod = (name: string, image: string) =>
  api.rest('POST', '/api/v1/namespaces/default/pods', {
    metadata: { name, annotations: { 'x.image-policy.k8s.io/y': 'z', other: 'o' } },
    spec: { containers: [{ name: 'c', image }] },
  })

it('lets in what the server allows, and asks once for the same', async () => {
  expect((await pod('a', 'good')).code).toBe(201)
  expect((await pod('b', 'good')).code).toBe(201)
  expect(asked.map(r => [r.kind, r.apiVersion, r.spec])).toEqual([
    [
      'ImageReview',
      'imagepolicy.k8s.io/v1alpha1',
      { containers: [{ image: 'good' }], annotations: { 'x.image-policy.k8s.io/y': 'z' }, namespace: 'default' },
    ],
  ])
})
it('refuses what it does not, with its reason', async () => {
  expect((await pod('d', 'bad:1')).body).toMatchObject({
    code: 403,
    message: 'pods "d" is forbidden: image policy webhook backend denied one or more images: bad:1 is bad',
  })
})
it('asks again when it fails, and refuses when it goes on failing', async () => {
  broken = 2
  expect((await pod('e', 'again')).code).toBe(201)
  broken = 99
  expect((await pod('f', 'never')).body).toMatchObject({ code: 403, message: 'pods "f" is forbidden: Error contacting webhook: 500' })
})
