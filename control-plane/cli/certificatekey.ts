/**
 * What a machine of the control plane has to have lies in a Secret that bootstrap tokens open, encrypted with a key that is printed once
 * and stored nowhere: as kubeadm's `--upload-certs` and `--certificate-key`.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const cipher = 'aes-256-gcm'
const [ivBytes, tagBytes] = [12, 16]

/** A new key, 64 hexadecimal digits. */
export const newCertificateKey = (): string => randomBytes(32).toString('hex')

/** Encrypts `text`; who decrypts it must say the same `context`. */
export function seal(key: string, context: string, text: string): Buffer {
  const iv = randomBytes(ivBytes)
  const sealing = createCipheriv(cipher, Buffer.from(key, 'hex'), iv).setAAD(Buffer.from(context))
  const sealed = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()])
  return Buffer.concat([iv, sealing.getAuthTag(), sealed])
}

/** Throws when it was sealed with another key, for another context, or was changed since. */
export function unseal(key: string, context: string, sealed: Buffer): string {
  if (!/^[0-9a-f]{64}$/.test(key)) throw new Error('the certificate key must be 64 hexadecimal digits')
  try {
    const [iv, tag] = [sealed.subarray(0, ivBytes), sealed.subarray(ivBytes, ivBytes + tagBytes)]
    const opening = createDecipheriv(cipher, Buffer.from(key, 'hex'), iv, { authTagLength: tagBytes }).setAAD(Buffer.from(context))
    opening.setAuthTag(tag)
    return Buffer.concat([opening.update(sealed.subarray(ivBytes + tagBytes)), opening.final()]).toString()
  } catch {
    throw new Error('the certificate key does not open what the cluster has for this token: it is of another one')
  }
}
