/** The certificates that a conversion webhook is trusted by (apiserver/pkg/util/webhook ValidateCABundle). */
import { X509Certificate } from 'node:crypto'
import { pemBlocks } from '../../certificates/pem.ts'

/** Why nobody can be trusted by a bundle in base64; undefined when somebody can, or when there is none. */
export function unreadableBundle(caBundle: string | undefined): string | undefined {
  if (!caBundle) return undefined
  const blocks = pemBlocks(Buffer.from(caBundle, 'base64').toString())
  const usable = blocks.some(({ type, hasHeaders, der }) => type === 'CERTIFICATE' && !hasHeaders && isCertificate(der))
  if (usable) return undefined
  return `unable to load root certificates: ${blocks.length === 0 ? 'unable to parse bytes as PEM block' : 'no valid certificate authority data seen'}`
}

function isCertificate(der: Buffer): boolean {
  try {
    new X509Certificate(der)
    return true
  } catch {
    return false
  }
}
