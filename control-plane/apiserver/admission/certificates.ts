/**
 * CertificateApproval, CertificateSigning, ClusterTrustBundleAttest and CertificateSubjectRestriction: who may approve, sign and name trust
 * anchors for a signer, and that nobody gets a certificate of system:masters from the signer of clients (plugin/pkg/admission/certificates).
 */
import type { CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import type { ClusterTrustBundle } from '#shared/api/certificates/clustertrustbundle.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { certificates } from '#shared/certificates/certificates.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { forbidden, type StatusError } from '#shared/machinery/status.ts'
import { kubeApiserverClient } from '../../certificates/signers.ts'
import type { Attributes as Question, Authorizer } from '../authz/authorizer.ts'
import { onlyForCollector } from '../authz/rbac/escalation.ts'
import { isAbout, type AdmissionPlugin, type Attributes } from './admission.ts'

const group = 'certificates.k8s.io'
const resource = 'certificatesigningrequests'

const isPart = (a: Attributes, subresource: string): boolean =>
  a.operation === 'UPDATE' && a.subresource === subresource && a.resource.resource === resource && a.resource.group === group
const refused = (a: Attributes, why: string): StatusError => forbidden(a.resource, a.name, why)

/** Whether a user may do something for a signer, or for all of its domain. */
function may(authorizer: Authorizer, user: UserInfo, verb: 'approve' | 'sign' | 'attest', signer: string): Maybe<boolean> {
  const core = { user, verb, isResource: true, group, version: '*', resource: 'signers', subresource: '', namespace: '', path: '' }
  const ask = (name: string): Maybe<boolean> => after(authorizer.authorize({ ...core, name } as Question), d => d.decision === 'allow')
  return after(ask(signer), allowed => allowed || ask(`${signer.split('/')[0]}/*`))
}

const refuseUnless = (allowed: Maybe<boolean>, failure: () => StatusError): void | Promise<void> =>
  after(allowed, yes => {
    if (!yes) throw failure()
  })

export const certificateApproval = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'CertificateApproval',
  validate(a) {
    if (!isPart(a, 'approval')) return
    const { signerName } = (a.object as CertificateSigningRequest).spec
    return refuseUnless(may(authorizer, a.user, 'approve', signerName), () =>
      refused(a, `user not permitted to approve requests with signerName ${JSON.stringify(signerName)}`),
    )
  },
})

export const certificateSigning = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'CertificateSigning',
  validate(a) {
    if (!isPart(a, 'status')) return
    const [now, before] = [a.object, a.old] as [CertificateSigningRequest, CertificateSigningRequest]
    const { certificate, conditions } = now.status ?? {}
    if (certificate === before.status?.certificate && semanticEqual(conditions, before.status?.conditions)) return
    const { signerName } = before.spec
    return refuseUnless(may(authorizer, a.user, 'sign', signerName), () =>
      refused(a, `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`),
    )
  },
})

export const clusterTrustBundleAttest = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'ClusterTrustBundleAttest',
  validate(a) {
    if (a.operation === 'DELETE' || !isAbout(a, group, 'clustertrustbundles')) return
    const { signerName } = (a.object as ClusterTrustBundle).spec
    if (!signerName || onlyForCollector(a)) return
    return refuseUnless(may(authorizer, a.user, 'attest', signerName), () =>
      refused(a, `user not permitted to attest for signerName ${JSON.stringify(signerName)}`),
    )
  },
})

export const certificateSubjectRestriction = (): AdmissionPlugin => ({
  name: 'CertificateSubjectRestriction',
  validate(a) {
    if (a.operation !== 'CREATE' || !isAbout(a, group, resource)) return
    const { signerName, request } = (a.object as CertificateSigningRequest).spec
    return signerName === kubeApiserverClient ? restrict(a, request) : undefined
  },
})

async function restrict(a: Attributes, request: string): Promise<void> {
  const { parseRequest } = await certificates()
  const { organizations } = await parseRequest(request).catch((e: Error) => {
    throw refused(a, `failed to parse CSR: ${e.message}`)
  })
  if (organizations.includes('system:masters'))
    throw refused(a, `use of ${kubeApiserverClient} signer with system:masters group is not allowed`)
}
