/** An admission webhook: what a schema cannot say. It makes itself a certificate, listens, and registers itself. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { PatchStrategy, type KubernetesObjectApi, type V1ValidatingWebhookConfiguration } from '@kubernetes/client-node'
import type { Website } from './website.ts'

/** Why a site is refused; undefined when it is not. */
const refusal = ({ spec }: Website): string | undefined => (/<script/i.test(spec.page) ? 'a page must not have scripts' : undefined)

function certificate(): { key: string; cert: string } {
  const dir = mkdtempSync(path.join(tmpdir(), 'webhook-'))
  const [key, cert] = ['key.pem', 'cert.pem'].map(name => path.join(dir, name)) as [string, string]
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=website-operator']
  execFileSync('openssl', ['req', ...made, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const pair = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  rmSync(dir, { recursive: true })
  return pair
}

/** Resolves when API servers ask it. */
export async function serveWebhook(objects: KubernetesObjectApi): Promise<void> {
  const pair = certificate()
  const server = createServer(pair, async (req, res) => {
    const { request } = JSON.parse(await text(req)) as { request: { uid: string; object: Website } }
    const message = refusal(request.object)
    const response = { uid: request.uid, allowed: message === undefined, ...(message ? { status: { code: 422, message } } : {}) }
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const registration: V1ValidatingWebhookConfiguration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'websites.example.com' },
    webhooks: [
      {
        name: 'pages.example.com',
        // In the cluster this would be a Service; this operator runs beside the API server.
        clientConfig: {
          url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
          caBundle: Buffer.from(pair.cert).toString('base64'),
        },
        rules: [
          {
            apiGroups: ['example.com'],
            apiVersions: ['v1'],
            resources: ['websites'],
            operations: ['CREATE', 'UPDATE'],
            scope: 'Namespaced',
          },
        ],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 5,
      },
    ],
  }
  await objects.patch(registration, undefined, undefined, 'website-operator', true, PatchStrategy.ServerSideApply)
}
