/** Signs approved requests for Kubernetes' own signers with the cluster's authority: pkg/controller/certificates/signer/signer.go */
import { X509Certificate } from 'node:crypto'
import { isRequestCondition, type CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '#shared/api/kinds.ts'
import { nodeUserJwt } from '#shared/bus/credentials.ts'
import { certificates } from '#shared/certificates/certificates.ts'
import { natsKeyAnnotation, natsUserAnnotation } from '#shared/certificates/nodecredentials.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { kubeApiserverClientKubelet, signers } from '../../certificates/signers.ts'
import type { Authority, NewController } from '../context.ts'

const minLifeMs = 600_000

/** What is asked for, within what the cluster gives. */
export const lifeOf = (seconds: number | undefined, maxMs: number): number =>
  seconds === undefined ? maxMs : Math.min(maxMs, Math.max(minLifeMs, seconds * 1000))

export const certificateSigningController: NewController = ctx => {
  const { cert, key, authorities = {}, lifeMs, nodes } = ctx.settings.signing
  // As upstream: nothing is signed for who has no authority.
  const authorityOf = (signer: string): Authority | undefined => {
    const own = authorities[signer] ?? { cert, key }
    return own.cert && own.key ? own : undefined
  }
  if (![...signers.keys()].some(authorityOf)) return []
  const requests = ctx.informer(certificateSigningRequests)

  /** What the request becomes. */
  async function decided(csr: CertificateSigningRequest, authority: Authority): Promise<CertificateSigningRequest> {
    const { request, signerName, usages = [], expirationSeconds } = csr.spec
    const { parseRequest, signRequest } = await certificates()
    const parsed = await parseRequest(request)
    const why = signers.get(signerName)!(parsed, usages)
    if (why !== undefined) {
      const failed = { type: 'Failed', status: 'True', reason: 'SignerValidationFailure', message: why, lastUpdateTime: formatTime() }
      return { ...csr, status: { ...csr.status, conditions: [...(csr.status?.conditions ?? []), failed] } }
    }
    const certificate = await signRequest(authority, parsed, { usages, lifeMs: lifeOf(expirationSeconds, lifeMs) })
    ctx.log.info({ csr: csr.metadata.name, signer: signerName, subject: parsed.commonName }, 'signed a certificate')
    const status = { ...csr.status, certificate: Buffer.from(certificate).toString('base64') }
    return { ...csr, metadata: { ...csr.metadata, ...(await natsUser(csr, parsed.commonName, certificate)) }, status }
  }

  /** The NATS user of the same node for as long as its certificate is good, when the request of a kubelet names a key for one. */
  async function natsUser({ metadata, spec }: CertificateSigningRequest, user: string, certificate: string) {
    const publicKey = metadata.annotations?.[natsKeyAnnotation]
    if (!nodes || publicKey === undefined || spec.signerName !== kubeApiserverClientKubelet) return {}
    const expires = Math.floor(Date.parse(new X509Certificate(certificate).validTo) / 1000)
    try {
      const jwt = await nodeUserJwt(nodes, user.slice('system:node:'.length), publicKey, expires)
      return { annotations: { ...metadata.annotations, [natsUserAnnotation]: jwt } }
    } catch (e) {
      // The certificate is good all the same.
      ctx.log.warn({ csr: metadata.name, err: (e as Error).message }, 'no NATS user for the key that a request names')
      return {}
    }
  }

  return {
    name: 'certificatesigningrequest-signing-controller',
    client: ctx.as('certificate-controller'),
    sources: [source(requests, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`]))],
    async reconcile(key, client) {
      const csr = requests.get('', splitKey(key)[1])
      if (!csr || !signers.has(csr.spec.signerName) || csr.status?.certificate || !isRequestCondition(csr, 'Approved')) return
      if (isRequestCondition(csr, 'Denied') || isRequestCondition(csr, 'Failed')) return
      const authority = authorityOf(csr.spec.signerName)
      if (!authority) return
      try {
        await client.update(certificateSigningRequests, await decided(csr, authority), 'status')
      } catch (e) {
        if (!isNotFound(e)) throw e
      }
    },
    log: ctx.log,
  }
}
