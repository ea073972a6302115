/**
 * The rules of CertificateSigningRequest: pkg/apis/certificates/validation/validation.go. That the request itself can be read and is signed
 * by its key is checked where certificates are read.
 */
import { X509Certificate } from 'node:crypto'
import { pemBlocks } from '../../certificates/pem.ts'
import { duplicate, forbidden, invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain } from '../../machinery/names.ts'
import { semanticEqual } from '../meta/validation.ts'
import type { CertificateSigningRequest, RequestCondition } from './certificatesigningrequest.ts'

export const keyUsages = [
  ...['any', 'cert sign', 'client auth', 'code signing', 'content commitment', 'crl sign', 'data encipherment', 'decipher only'],
  ...['digital signature', 'email protection', 'encipher only', 'ipsec end system', 'ipsec tunnel', 'ipsec user', 'key agreement'],
  ...['key encipherment', 'microsoft sgc', 'netscape sgc', 'ocsp signing', 's/mime', 'server auth', 'signing', 'timestamping'],
] as const

const minSeconds = 600

export function validateRequest({ spec, status }: CertificateSigningRequest, at: Path): FieldError[] {
  const path = at.child('spec')
  const usages = spec.usages ?? []
  const errors: FieldError[] = usages.length === 0 ? [required(path.child('usages'))] : []
  for (const [i, usage] of usages.entries()) {
    const here = path.child('usages').index(i)
    if (!(keyUsages as readonly string[]).includes(usage)) errors.push(notSupported(here, usage, keyUsages))
    if (usages.indexOf(usage) < i) errors.push(duplicate(here, usage))
  }
  const signer = path.child('signerName')
  if (spec.signerName === 'kubernetes.io/legacy-unknown')
    errors.push(invalid(signer, spec.signerName, 'the legacy signerName is not allowed via this API version'))
  else errors.push(...validateSignerName(spec.signerName ?? '', signer))
  const seconds = spec.expirationSeconds
  if (seconds !== undefined && seconds < minSeconds)
    errors.push(invalid(path.child('expirationSeconds'), seconds, 'may not specify a duration less than 600 seconds (10 minutes)'))
  errors.push(...validateConditions(status?.conditions ?? [], at.child('status', 'conditions')))
  const why = unfitCertificate(status?.certificate)
  return why === undefined ? errors : [...errors, invalid(at.child('status', 'certificate'), '<certificate data>', why)]
}

const maxDomain = 253
const maxSignerName = maxDomain + 253 + 63 + 2

/** `example.com/signer-name`: pkg/apis/certificates/validation, ValidateSignerName. */
export function validateSignerName(name: string, at: Path): FieldError[] {
  if (name === '') return [required(at)]
  const segments = name.split('/')
  if (segments.length !== 2) return [invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
  const [domain, path] = segments as [string, string]
  const bad = (segment: string, check: (label: string) => string[]): FieldError[] => {
    for (const label of segment.split('.')) {
      const errors = check(label)
      if (errors.length > 0) return errors.map(e => invalid(at, segment, `validating label ${JSON.stringify(label)}: ${e}`))
    }
    return []
  }
  return [
    ...(domain.length > maxDomain ? [tooLong(at, maxDomain)] : []),
    ...bad(domain, isDNS1123Label),
    ...(domain.includes('.') ? [] : [invalid(at, domain, 'should be a domain with at least two segments separated by dots')]),
    ...bad(path, isDNS1123Subdomain),
    ...(name.length > maxSignerName ? [tooLong(at, maxSignerName)] : []),
  ]
}

const decisions = ['Approved', 'Denied', 'Failed']

function validateConditions(conditions: readonly RequestCondition[], at: Path): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  for (const [i, { type = '', status = '' }] of conditions.entries()) {
    const here = at.index(i)
    if (type === '') errors.push(required(here.child('type')))
    const allowed = decisions.includes(type) ? ['True'] : ['False', 'True', 'Unknown']
    if (status === '') errors.push(required(here.child('status')))
    else if (!allowed.includes(status)) errors.push(notSupported(here.child('status'), status, allowed))
    if ((type === 'Approved' && seen.has('Denied')) || (type === 'Denied' && seen.has('Approved')))
      errors.push(invalid(here.child('type'), type, 'Approved and Denied conditions are mutually exclusive'))
    if (seen.has(type)) errors.push(duplicate(here.child('type'), type))
    seen.add(type)
  }
  return errors
}

/** What is wrong with a certificate, in base64 of PEM. */
function unfitCertificate(base64: string | undefined): string | undefined {
  if (!base64) return undefined
  const blocks = pemBlocks(Buffer.from(base64, 'base64').toString())
  if (blocks.length === 0) return 'must contain at least one CERTIFICATE PEM block'
  for (const { type, hasHeaders, der } of blocks) {
    if (type !== 'CERTIFICATE') return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`
    if (hasHeaders) return 'no PEM block headers are permitted'
    try {
      new X509Certificate(der)
    } catch {
      return 'x509: malformed certificate'
    }
  }
  return undefined
}

const certificateOf = (csr: CertificateSigningRequest): string => csr.status?.certificate ?? ''

/** What a change may not do, `subresource` being the way that it comes. */
export function validateRequestUpdate(
  csr: CertificateSigningRequest,
  old: CertificateSigningRequest,
  at: Path,
  subresource: string,
): FieldError[] {
  const path = at.child('status', 'conditions')
  const of = (c: CertificateSigningRequest, type: string) => (c.status?.conditions ?? []).filter(o => o.type === type)
  const errors: FieldError[] = []
  for (const type of decisions)
    if (of(csr, type).length < of(old, type).length)
      errors.push(forbidden(path, `updates may not remove a condition of type ${JSON.stringify(type)}`))
  for (const type of subresource === 'approval' ? [] : ['Approved', 'Denied']) {
    const [now, before] = [of(csr, type), of(old, type)]
    if (now.length > before.length) errors.push(forbidden(path, `updates may not add a condition of type ${JSON.stringify(type)}`))
    else if (now.length === before.length && !semanticEqual(now, before))
      errors.push(forbidden(path, `updates may not modify a condition of type ${JSON.stringify(type)}`))
  }
  if (certificateOf(csr) !== certificateOf(old)) {
    const here = at.child('status', 'certificate')
    if (subresource !== 'status') errors.push(forbidden(here, 'updates may not set certificate content'))
    else if (certificateOf(old) !== '') errors.push(forbidden(here, 'updates may not modify existing certificate content'))
  }
  return errors
}
