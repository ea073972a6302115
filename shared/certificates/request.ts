/**
 * Certificate signing requests (PKCS#10) as they stand in objects. The library is heavy: import this when a request is there
 * (https://github.com/PeculiarVentures/x509).
 */
// The library's dependency injection wants it, and first.
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'

export interface CertificateRequest {
  /** `''` when there is none. */
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly dnsNames: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly emailAddresses: readonly string[]
  readonly uris: readonly string[]
  readonly alternatives: x509.SubjectAlternativeNameExtension | undefined
  readonly parsed: x509.Pkcs10CertificateRequest
}

const pemBlock = /-----BEGIN ([^-\n]+)-----\r?\n([\s\S]*?)-----END \1-----/

/** Reads a request, base64 of PEM, and checks that it is signed with its own key. Throws an Error that says what is wrong. */
export async function parseRequest(base64: string): Promise<CertificateRequest> {
  const [, type, content = ''] = pemBlock.exec(Buffer.from(base64, 'base64').toString()) ?? []
  if (type !== 'CERTIFICATE REQUEST') throw new Error('PEM block type must be CERTIFICATE REQUEST')
  let parsed: x509.Pkcs10CertificateRequest
  let signed: boolean
  try {
    parsed = new x509.Pkcs10CertificateRequest(Buffer.from(content, 'base64'))
  } catch {
    throw new Error('asn1: structure error: malformed certificate request')
  }
  checkSubject(parsed.subjectName)
  try {
    signed = await parsed.verify()
  } catch {
    throw new Error('x509: cannot verify signature: algorithm unimplemented')
  }
  if (!signed) throw new Error('x509: the signature of the request is not by its key')
  const alternatives = alternativeNames(parsed)
  const names = alternatives?.names.items ?? []
  const of = (kind: x509.GeneralNameType): string[] => names.filter(n => n.type === kind).map(n => n.value)
  return {
    commonName: parsed.subjectName.getField('CN').at(-1) ?? '',
    organizations: parsed.subjectName.getField('O'),
    dnsNames: of('dns'),
    ipAddresses: of('ip'),
    emailAddresses: of('email'),
    uris: of('url'),
    alternatives,
    parsed,
  }
}

function alternativeNames(request: x509.Pkcs10CertificateRequest): x509.SubjectAlternativeNameExtension | undefined {
  const extension = request.getExtension('2.5.29.17')
  return extension ? new x509.SubjectAlternativeNameExtension(extension.rawData) : undefined
}

/**
 * Throws for text in one of the old encodings: the certificate would carry it as it is, and who reads that might find another name in it
 * than was checked here.
 */
function checkSubject(name: x509.Name): void {
  // The library keeps what it has read to itself.
  const { asn } = name as unknown as { asn: Iterable<Iterable<{ value: { [encoding: string]: unknown } }>> }
  for (const part of asn)
    for (const { value } of part)
      if (value['utf8String'] === undefined && value['printableString'] === undefined && value['ia5String'] === undefined)
        throw new Error('asn1: structure error: the subject is in an encoding that is not supported')
}
