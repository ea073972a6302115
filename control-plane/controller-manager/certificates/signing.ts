/** Signs approved requests for Kubernetes' own signers with the cluster's authority: pkg/controller/certificates/signer/signer.go */
import { isRequestCondition, type CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '#shared/api/kinds.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { signers } from '../../certificates/signers.ts'
import type { NewController } from '../context.ts'

const minLifeMs = 600_000

/** What is asked for, within what the cluster gives. */
export const lifeOf = (seconds: number | undefined, maxMs: number): number =>
  seconds === undefined ? maxMs : Math.min(maxMs, Math.max(minLifeMs, seconds * 1000))

export const certificateSigningController: NewController = ctx => {
  const { cert, key, lifeMs } = ctx.settings.signing
  // As upstream: without an authority nothing is signed.
  if (!cert || !key) return []
  const requests = ctx.informer(certificateSigningRequests)

  async function statusOf(csr: CertificateSigningRequest): Promise<CertificateSigningRequest['status']> {
    const { request, signerName, usages = [], expirationSeconds } = csr.spec
    const [{ parseRequest }, { signRequest }] = await Promise.all([
      import('../../certificates/request.ts'),
      import('../../certificates/authority.ts'),
    ])
    const parsed = await parseRequest(request)
    const why = signers.get(signerName)!(parsed, usages)
    if (why !== undefined) {
      const failed = { type: 'Failed', status: 'True', reason: 'SignerValidationFailure', message: why, lastUpdateTime: formatTime() }
      return { ...csr.status, conditions: [...(csr.status?.conditions ?? []), failed] }
    }
    const certificate = await signRequest({ cert, key }, parsed, { usages, lifeMs: lifeOf(expirationSeconds, lifeMs) })
    ctx.log.info({ csr: csr.metadata.name, signer: signerName, subject: parsed.commonName }, 'signed a certificate')
    return { ...csr.status, certificate: Buffer.from(certificate).toString('base64') }
  }

  return {
    name: 'certificatesigningrequest-signing-controller',
    client: ctx.client,
    sources: [source(requests, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`]))],
    async reconcile(key, client) {
      const csr = requests.get('', splitKey(key)[1])
      if (!csr || !signers.has(csr.spec.signerName) || csr.status?.certificate || !isRequestCondition(csr, 'Approved')) return
      if (isRequestCondition(csr, 'Denied') || isRequestCondition(csr, 'Failed')) return
      try {
        await client.update(certificateSigningRequests, { ...csr, status: await statusOf(csr) }, 'status')
      } catch (e) {
        if (!isNotFound(e)) throw e
      }
    },
    log: ctx.log,
  }
}
