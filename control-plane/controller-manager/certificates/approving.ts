/** Approves the client certificates of kubelets when who asks may have them: pkg/controller/certificates/approver/sarapprove.go */
import { isRequestCondition, type CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '#shared/api/kinds.ts'
import { certificates } from '#shared/certificates/certificates.ts'
import type { CertificateRequest } from '#shared/certificates/request.ts'
import type { Client } from '#shared/client/client.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { kubeApiserverClientKubelet, unfitForKubeletClient } from '../../certificates/signers.ts'
import type { NewController } from '../context.ts'

/** What a request may be, in the order that it is tried: the permission that who asks must have, and what is said then. */
const recognizers = [
  {
    is: (csr: CertificateSigningRequest, request: CertificateRequest) => csr.spec.username === request.commonName,
    subresource: 'selfnodeclient',
    message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
  },
  { is: () => true, subresource: 'nodeclient', message: 'Auto approving kubelet client certificate after SubjectAccessReview.' },
]

async function mayHave(client: Client, { spec }: CertificateSigningRequest, subresource: string): Promise<boolean> {
  const { status } = await client.raw<{ status?: { allowed?: boolean } }>('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: {
      user: spec.username,
      uid: spec.uid,
      groups: spec.groups,
      extra: spec.extra,
      resourceAttributes: { group: 'certificates.k8s.io', resource: 'certificatesigningrequests', verb: 'create', subresource },
    },
  })
  return status?.allowed === true
}

export const certificateApprovingController: NewController = ctx => {
  const requests = ctx.informer(certificateSigningRequests)
  return {
    name: 'certificatesigningrequest-approving-controller',
    client: ctx.as('certificate-controller'),
    sources: [source(requests, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`]))],
    async reconcile(key, client) {
      const [, name] = splitKey(key)
      const csr = requests.get('', name)
      if (!csr || csr.spec.signerName !== kubeApiserverClientKubelet || csr.status?.certificate) return
      if (isRequestCondition(csr, 'Approved') || isRequestCondition(csr, 'Denied')) return
      const { parseRequest } = await certificates()
      const request = await parseRequest(csr.spec.request)
      if (unfitForKubeletClient(request, csr.spec.usages ?? []) !== undefined) return
      const tried: string[] = []
      for (const { is, subresource, message } of recognizers) {
        if (!is(csr, request)) continue
        tried.push(subresource)
        if (!(await mayHave(client, csr, subresource))) continue
        const condition = { type: 'Approved', status: 'True', reason: 'AutoApproved', message }
        const status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition] }
        try {
          await client.update(certificateSigningRequests, { ...csr, status }, 'approval')
        } catch (e) {
          if (!isNotFound(e)) throw e
        }
        ctx.log.info({ csr: name, user: csr.spec.username }, 'approved the certificate of a kubelet')
        return
      }
      // Somebody may be given the permission later.
      throw new Error(`recognized csr ${JSON.stringify(name)} as [${tried.join(' ')}] but subject access review was not approved`)
    },
    log: ctx.log,
  }
}
