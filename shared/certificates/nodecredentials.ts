/**
 * A node's credentials, asked for by CertificateSigningRequest as a kubelet does: its client certificate, and with it the NATS user that is
 * the same identity. The node makes both keys and keeps them. Its request names the public NATS key in an annotation; the controller that
 * signs the certificate signs the user's JWT too and writes it beside the certificate: who may have the one may have the other, one
 * approval decides about both, and both end at the same time. The JWT is no secret: it is good for nothing without the key.
 */
import type { CertificateSigningRequest } from '../api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests } from '../api/kinds.ts'
import { certificates } from './certificates.ts'
import { credsOf, newUserKey } from '../bus/credentials.ts'
import type { Client } from '../client/client.ts'

/** The public key of the NATS user that is asked for. */
export const natsKeyAnnotation = 'coxswain.dev/nats-user-key'
/** The user's JWT. */
export const natsUserAnnotation = 'coxswain.dev/nats-user'

export interface NodeCredentials {
  /** PEM. */
  readonly cert: string
  readonly key: string
  /** In the form of a `.creds` file. */
  readonly creds: string
}

export interface Obtaining {
  /** How long the credentials shall be good, s; as long as the cluster gives when absent. */
  readonly seconds?: number
  readonly signal: AbortSignal
}

/**
 * New credentials of `system:node:NODE` for who `client` is: a machine with a bootstrap token, or the node itself. Rejects when the request
 * is denied or cannot be signed, and with `signal`.
 */
export async function obtainNodeCredentials(client: Client, node: string, { seconds, signal }: Obtaining): Promise<NodeCredentials> {
  const { newRequest } = await certificates()
  const [{ key, request }, user] = [await newRequest({ commonName: `system:node:${node}`, organizations: ['system:nodes'] }), newUserKey()]
  const made = await client.create(certificateSigningRequests, '', {
    metadata: { generateName: 'node-csr-', annotations: { [natsKeyAnnotation]: user.publicKey } },
    spec: {
      request,
      signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
      usages: ['digital signature', 'client auth'],
      ...(seconds === undefined ? {} : { expirationSeconds: seconds }),
    },
  } as unknown as CertificateSigningRequest)
  const { cert, jwt } = await signed(client, made, signal)
  return { cert, key, creds: credsOf(jwt, user.seed) }
}

/** Follows a request until it is signed. */
async function signed(client: Client, made: CertificateSigningRequest, signal: AbortSignal): Promise<{ cert: string; jwt: string }> {
  const { name = '', uid } = made.metadata
  let version = made.metadata.resourceVersion ?? ''
  while (!signal.aborted) {
    const options = { fieldSelector: `metadata.name=${name}`, resourceVersion: version, allowWatchBookmarks: true }
    for await (const event of client.watch(certificateSigningRequests, '', options, signal)) {
      version = event.object.metadata.resourceVersion ?? version
      if (event.type === 'BOOKMARK') continue
      const { metadata, status } = event.object
      if (event.type === 'DELETED' || metadata.uid !== uid) throw new Error(`the certificate signing request ${name} was deleted`)
      const refusal = status?.conditions?.find(c => c.type === 'Denied' || c.type === 'Failed')
      if (refusal)
        throw new Error(`the certificate signing request ${name} was refused: ${refusal.message || refusal.reason || refusal.type}`)
      const jwt = metadata.annotations?.[natsUserAnnotation]
      if (status?.certificate && jwt) return { cert: Buffer.from(status.certificate, 'base64').toString(), jwt }
      if (status?.certificate) throw new Error(`the certificate signing request ${name} was signed without a NATS user`)
    }
  }
  throw new Error(`the certificate signing request ${name} was not signed in time: is it approved? (kubectl certificate approve ${name})`)
}
