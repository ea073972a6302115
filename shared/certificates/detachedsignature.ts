/** How cluster-info is signed with a bootstrap token: k8s.io/cluster-bootstrap/token/jws */
import { CompactSign } from 'jose'

/** The signature of a text by a token: a JWS without the text, which stands beside it. */
export async function detachedSignature(text: string, id: string, secret: string): Promise<string> {
  // HS256 wants 32 bytes; upstream fills up with zeros.
  const key = Buffer.alloc(Math.max(32, Buffer.byteLength(secret)))
  key.write(secret)
  const jws = await new CompactSign(Buffer.from(text)).setProtectedHeader({ alg: 'HS256', kid: id }).sign(key)
  return jws.replace(/\.[^.]*\./, '..')
}
