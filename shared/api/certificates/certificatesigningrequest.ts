/**
 * certificates.k8s.io/v1 CertificateSigningRequest: asks a signer for a certificate.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
import { bytes, int32, list, map, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { clone } from '../../machinery/jsonvalue.ts'
import { nameIsPathSegment } from '../../machinery/names.ts'
import { formatTime, humanDuration } from '../../machinery/time.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { certificateSigningRequests } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource, type WriteContext } from '../resource.ts'
import { validateRequest, validateRequestUpdate } from './validation.ts'

const name = (type: string): string => `io.k8s.api.certificates.v1.${type}`
const requestCondition = conditionSchema(name('CertificateSigningRequestCondition'), 'One decision about a request.', {
  tags: { status: 6, lastTransitionTime: 5, reason: 2, message: 3 },
  types: 'Approved, Denied or Failed.',
  more: () => ({ lastUpdateTime: opt(4, time(), { doc: 'When the condition was last written.' }) }),
})
const requestSpec = obj(name('CertificateSigningRequestSpec'), 'What is asked for, and by whom.', () => ({
  request: req(1, bytes(), { doc: 'A PKCS#10 request in PEM, in base64.' }),
  signerName: req(7, str(), { doc: 'Who shall sign.', default: '' }),
  expirationSeconds: opt(8, int32(), { doc: 'Wanted life time; the certificate may have another.' }),
  usages: opt(5, list(str()), { doc: 'What the certificate shall be good for.', listType: 'atomic' }),
  username: opt(2, str(), { doc: 'Who made the request; set by the server.' }),
  uid: opt(3, str(), { doc: 'UID of who made it; set by the server.' }),
  groups: opt(4, list(str()), { doc: 'Groups of who made it; set by the server.', listType: 'atomic' }),
  extra: opt(6, map(list(str())), { doc: 'What else is known of who made it; set by the server.' }),
}))
const requestStatus = obj(name('CertificateSigningRequestStatus'), 'What became of it.', () => ({
  conditions: opt(1, list(requestCondition), { doc: 'What was decided.', listType: 'map', listMapKeys: ['type'] }),
  certificate: opt(2, bytes(), { doc: 'The certificate in PEM, in base64.' }),
}))
const requestSchema = obj(name('CertificateSigningRequest'), 'Asks a signer for a certificate.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, requestSpec, { doc: 'What is asked for; never changes.', default: {} }),
  status: opt(3, requestStatus, { doc: 'What became of it.', default: {} }),
}))
export type CertificateSigningRequest = Stored<Infer<typeof requestSchema>>
export type RequestCondition = NonNullable<NonNullable<CertificateSigningRequest['status']>['conditions']>[number]

export const isRequestCondition = (csr: CertificateSigningRequest, type: string): boolean =>
  csr.status?.conditions?.some(c => c.type === type) ?? false

function statusText(csr: CertificateSigningRequest): string {
  const decided = isRequestCondition(csr, 'Denied') ? 'Denied' : isRequestCondition(csr, 'Approved') ? 'Approved' : 'Pending'
  return `${decided}${isRequestCondition(csr, 'Failed') ? ',Failed' : ''}${csr.status?.certificate ? ',Issued' : ''}`
}

export const certificateSigningRequest = resource<CertificateSigningRequest>({
  ...certificateSigningRequests,
  schema: requestSchema,
  singular: 'certificatesigningrequest',
  shortNames: ['csr'],
  columns: [
    nameColumn,
    ageColumn,
    { name: 'SignerName', type: 'string', doc: 'Who shall sign.', cell: c => c.spec.signerName || '<none>' },
    { name: 'Requestor', type: 'string', doc: 'Who made the request.', cell: c => c.spec.username ?? '' },
    {
      name: 'RequestedDuration',
      type: 'string',
      doc: 'Wanted life time.',
      cell: c => (c.spec.expirationSeconds === undefined ? '<none>' : humanDuration(c.spec.expirationSeconds * 1000)),
    },
    { name: 'Condition', type: 'string', doc: 'What became of it.', cell: statusText },
  ],
  fields: { 'spec.signerName': c => c.spec.signerName ?? '' },
  hasStatus: true,
  statusResetFields: [['f:spec'], ['f:status', 'f:conditions']],
  subresources: { approval: { verbs: ['get', 'patch', 'update'] }, status: { verbs: ['get', 'patch', 'update'] } },
  validateName: nameIsPathSegment,
  prepareForCreate(csr, { user }) {
    const { username: _name, uid: _uid, groups: _groups, extra: _extra, ...asked } = csr.spec
    csr.spec = {
      ...asked,
      ...(user ? { username: user.name, groups: [...user.groups] } : {}),
      ...(user?.uid ? { uid: user.uid } : {}),
      ...(user?.extra ? { extra: clone(user.extra) } : {}),
    }
  },
  prepareForUpdate,
  validate: validateRequest,
  validateUpdate: (csr, old, at, ctx) => [
    // A write to the status is judged as a whole too.
    ...(ctx.subresource === 'status' ? validateRequest(csr, at) : []),
    ...validateRequestUpdate(csr, old, at, ctx.subresource),
  ],
})

/** Each way to write has its part: approval the conditions, status the certificate and what the signer says. */
function prepareForUpdate(csr: CertificateSigningRequest, old: CertificateSigningRequest, { subresource }: WriteContext): void {
  csr.spec = clone(old.spec)
  if (subresource !== 'status' && subresource !== 'approval') return
  if (subresource === 'status') for (const type of ['Approved', 'Denied']) keepConditions(csr, old, type)
  addTimes(csr, old)
  if (subresource !== 'approval') return
  const { conditions } = csr.status ?? {}
  csr.status = { ...clone(old.status ?? {}), conditions }
  if (!conditions) delete csr.status.conditions
}

/** As they were, when there are as many: only then nobody wants to add or remove one, for which the validation refuses the write. */
function keepConditions(csr: CertificateSigningRequest, old: CertificateSigningRequest, type: string): void {
  const conditions = csr.status?.conditions ?? []
  const before = (old.status?.conditions ?? []).filter(c => c.type === type)
  const indices = conditions.flatMap((c, i) => (c.type === type ? [i] : []))
  if (before.length === indices.length) for (const [n, i] of indices.entries()) conditions[i] = clone(before[n]!)
}

function addTimes(csr: CertificateSigningRequest, old: CertificateSigningRequest): void {
  const now = formatTime()
  for (const c of csr.status?.conditions ?? []) {
    c.lastUpdateTime ??= now
    c.lastTransitionTime ??=
      old.status?.conditions?.find(o => o.type === c.type && o.status === c.status && o.lastTransitionTime)?.lastTransitionTime ?? now
  }
}
