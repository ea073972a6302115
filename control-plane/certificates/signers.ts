/** What Kubernetes' own signers sign: pkg/apis/certificates/helpers.go, pkg/controller/certificates/signer/signer.go */
import type { CertificateRequest } from '#shared/certificates/request.ts'

export const kubeApiserverClient = 'kubernetes.io/kube-apiserver-client'
export const kubeApiserverClientKubelet = 'kubernetes.io/kube-apiserver-client-kubelet'
export const kubeletServing = 'kubernetes.io/kubelet-serving'
export const legacyUnknown = 'kubernetes.io/legacy-unknown'

const nodesGroup = 'system:nodes'
const nodePrefix = 'system:node:'

/** Exactly these usages, of which `key encipherment`, which only RSA needs, may be missing. */
function mismatch(usages: readonly string[], purpose: string): string | undefined {
  const wanted = ['digital signature', 'key encipherment', purpose].sort()
  const given = new Set(usages)
  const fits = wanted.every(u => given.has(u) || u === 'key encipherment') && [...given].every(u => wanted.includes(u))
  return fits ? undefined : `usages did not match [${wanted.join(' ')}]`
}

const isNodes = ({ organizations }: CertificateRequest): boolean => organizations.length === 1 && organizations[0] === nodesGroup
const notOfNodes = 'subject organization is not system:nodes'
const notANode = 'subject common name does not begin with system:node:'

/** Why a request is not one that a kubelet's client certificate is made for; undefined when it is. */
export function unfitForKubeletClient(r: CertificateRequest, usages: readonly string[]): string | undefined {
  if (!isNodes(r)) return notOfNodes
  if (r.dnsNames.length > 0) return 'DNS subjectAltNames are not allowed'
  if (r.emailAddresses.length > 0) return 'Email subjectAltNames are not allowed'
  if (r.ipAddresses.length > 0) return 'IP subjectAltNames are not allowed'
  if (r.uris.length > 0) return 'URI subjectAltNames are not allowed'
  return r.commonName.startsWith(nodePrefix) ? mismatch(usages, 'client auth') : notANode
}

function unfitForKubeletServing(r: CertificateRequest, usages: readonly string[]): string | undefined {
  if (!isNodes(r)) return notOfNodes
  if (r.dnsNames.length === 0 && r.ipAddresses.length === 0) return 'DNS or IP subjectAltName is required'
  if (r.emailAddresses.length > 0) return 'Email subjectAltNames are not allowed'
  if (r.uris.length > 0) return 'URI subjectAltNames are not allowed'
  return mismatch(usages, 'server auth') ?? (r.commonName.startsWith(nodePrefix) ? undefined : notANode)
}

function unfitForClient(_: CertificateRequest, usages: readonly string[]): string | undefined {
  const other = usages.find(u => !['digital signature', 'key encipherment', 'client auth'].includes(u))
  if (other !== undefined) return `invalid usage for client certificate: ${other}`
  return usages.includes('client auth') ? undefined : 'missing required usage for client certificate: client auth'
}

/** By signer: why it does not sign a request; undefined when it does. */
export const signers: ReadonlyMap<string, (request: CertificateRequest, usages: readonly string[]) => string | undefined> = new Map([
  [kubeApiserverClient, unfitForClient],
  [kubeApiserverClientKubelet, unfitForKubeletClient],
  [kubeletServing, unfitForKubeletServing],
  [legacyUnknown, () => undefined],
])
