/** Certificates of Secrets, checked before the proxy reads them: with one that is wrong it would not start. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Known } from './ingress.ts'
import type { Certificate } from './model.ts'

/** Throws in words for the user. */
export function certificateOf(known: Known, namespace: string, name: string): Omit<Certificate, 'hosts'> {
  const secret = `${namespace}/${name}`
  const data = known.secret(namespace, name)?.data
  if (!data) throw new Error(`Secret "${secret}" does not exist, or is not of type kubernetes.io/tls`)
  const [cert, key] = ['tls.crt', 'tls.key'].map(k => Buffer.from(data[k] ?? '', 'base64').toString())
  try {
    if (!new X509Certificate(cert!).checkPrivateKey(createPrivateKey(key!))) throw new Error('its key is of another certificate')
  } catch (e) {
    throw new Error(`Secret "${secret}" has no certificate that can be used: ${(e as Error).message}`)
  }
  return { secret, pem: `${cert!.trim()}\n${key!.trim()}\n` }
}
