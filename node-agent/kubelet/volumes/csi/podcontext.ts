/**
 * What a driver that asks for it is told of the pod when it mounts. https://kubernetes-csi.github.io/docs/pod-info.html,
 * token-requests.html
 */
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodSources } from '../../sources.ts'

type Strings = Record<string, string>
const tokensKey = 'csi.storage.k8s.io/serviceAccount.tokens'
const hourSeconds = 3600

export async function podContext(
  about: CSIDriver | undefined,
  pod: Pod,
  ephemeral: boolean,
  sources: PodSources,
): Promise<{ context: Strings; secrets: Strings }> {
  const { podInfoOnMount, tokenRequests = [], serviceAccountTokenInSecrets } = about?.spec ?? {}
  const { name = '', namespace = '', uid = '' } = pod.metadata
  const context: Strings = podInfoOnMount
    ? {
        'csi.storage.k8s.io/pod.name': name,
        'csi.storage.k8s.io/pod.namespace': namespace,
        'csi.storage.k8s.io/pod.uid': uid,
        'csi.storage.k8s.io/serviceAccount.name': pod.spec.serviceAccountName ?? '',
        'csi.storage.k8s.io/ephemeral': String(ephemeral),
      }
    : {}
  if (tokenRequests.length === 0) return { context, secrets: {} }
  const tokens: Record<string, { token: string; expirationTimestamp: string }> = {}
  for (const { audience, expirationSeconds = hourSeconds } of tokenRequests) {
    const token = await sources.token(audience, expirationSeconds)
    tokens[audience] = { token, expirationTimestamp: expiryOf(token) }
  }
  const told = { [tokensKey]: JSON.stringify(tokens) }
  return serviceAccountTokenInSecrets ? { context, secrets: told } : { context: { ...context, ...told }, secrets: {} }
}

/** A token says itself when it ends. */
function expiryOf(token: string): string {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: number }
    return new Date((exp ?? 0) * 1000).toISOString().replace('.000Z', 'Z')
  } catch {
    return ''
  }
}
