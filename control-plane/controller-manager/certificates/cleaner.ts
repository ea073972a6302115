/** Deletes requests that are done or that nobody has decided on: pkg/controller/certificates/cleaner/cleaner.go */
import { X509Certificate } from 'node:crypto'
import type { CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '#shared/api/kinds.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'

const hourMs = 3600_000
const decidedMs = hourMs
const pendingMs = 24 * hourMs

/** When a request is to go, ms since 1970; undefined when it stays until something happens to it. */
export function endOf({ metadata, status }: CertificateSigningRequest): number | undefined {
  const conditions = status?.conditions ?? []
  const since = (type: string): number => Date.parse(conditions.find(c => c.type === type)?.lastUpdateTime ?? '')
  const ends = [since('Denied') + decidedMs, since('Failed') + decidedMs]
  if (status?.certificate && conditions.some(c => c.type === 'Approved')) {
    ends.push(since('Approved') + decidedMs, expiryOf(status.certificate))
  }
  if (conditions.length === 0) ends.push(Date.parse(metadata.creationTimestamp ?? '') + pendingMs)
  const known = ends.filter(e => !Number.isNaN(e))
  return known.length > 0 ? Math.min(...known) : undefined
}

function expiryOf(certificate: string): number {
  try {
    return Date.parse(new X509Certificate(Buffer.from(certificate, 'base64')).validTo)
  } catch {
    return NaN
  }
}

export const certificateCleaner: NewController = ctx => {
  const requests = ctx.informer(certificateSigningRequests)
  return {
    name: 'certificatesigningrequest-cleaner-controller',
    client: ctx.as('certificate-controller'),
    workers: 1,
    sources: [source(requests, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`]))],
    async reconcile(key, client) {
      const csr = requests.get('', splitKey(key)[1])
      const end = csr && endOf(csr)
      if (!csr || end === undefined) return
      const left = end - Date.now()
      if (left > 0) return { requeueAfterMs: left }
      const { name = '', uid, resourceVersion = '' } = csr.metadata
      try {
        await client.delete(certificateSigningRequests, '', name, { preconditions: { ...(uid ? { uid } : {}), resourceVersion } })
        ctx.log.info({ csr: name }, 'deleted a certificate signing request that is done')
      } catch (e) {
        if (!isNotFound(e) && !isConflict(e)) throw e
      }
    },
    log: ctx.log,
  }
}
