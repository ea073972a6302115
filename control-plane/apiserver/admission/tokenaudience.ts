/**
 * Of which audiences a node may have tokens for a pod: those that the pod's volumes name, and those that somebody has let it ask for
 * (ServiceAccountNodeAudienceRestriction; plugin/pkg/admission/noderestriction).
 * https://kubernetes.io/docs/reference/access-authn-authz/node/#service-account-token-audience-restriction
 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Volume } from '#shared/api/core/podspec/volume.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import { notFound } from '#shared/machinery/status.ts'
import type { Authorizer } from '../authz/authorizer.ts'
import type { Registry } from '../registry/registry.ts'
import type { Attributes } from './admission.ts'

function find<T>(registry: Registry, group: string, plural: string, namespace: string, name: string): T {
  const found = registry.get({ group, plural }, namespace, name)
  if (!found) throw notFound({ group, resource: plural.replace(/s$/, '') }, name)
  return found.object as T
}

/** The CSI driver that a volume is of; undefined when it is of none. Throws when what leads to it is not there. */
function driverOf(registry: Registry, pod: Pod, volume: Volume): string | undefined {
  if (volume.csi) return volume.csi.driver
  const { name, namespace = '' } = pod.metadata
  const claimName = volume.ephemeral ? `${name}-${volume.name}` : volume.persistentVolumeClaim?.claimName
  if (claimName === undefined) return undefined
  const claim = find<PersistentVolumeClaim>(registry, '', 'persistentvolumeclaims', namespace, claimName)
  return find<PersistentVolume>(registry, '', 'persistentvolumes', '', claim.spec.volumeName ?? '').spec.csi?.driver
}

/** Throws what keeps it from knowing when no volume names the audience. */
function isReferred(registry: Registry, pod: Pod, audience: string): boolean {
  const errors: string[] = []
  for (const volume of pod.spec.volumes ?? []) {
    if (volume.projected?.sources?.some(s => s.serviceAccountToken && (s.serviceAccountToken.audience ?? '') === audience)) return true
    try {
      const name = driverOf(registry, pod, volume)
      if (name === undefined) continue
      const { spec } = find<CSIDriver>(registry, 'storage.k8s.io', 'csidrivers', '', name)
      if (spec.tokenRequests?.some(r => r.audience === audience)) return true
    } catch (e) {
      errors.push((e as Error).message)
    }
  }
  if (errors.length > 0) throw new Error(errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`)
  return false
}

/** Why a node may not have a token of these audiences for its pod; undefined when it may. */
export async function refusedAudience(
  registry: Registry,
  authorizer: Authorizer,
  a: Attributes,
  pod: Pod,
  audiences: readonly string[],
): Promise<string | undefined> {
  if (audiences.length > 1) return 'node may only request 0 or 1 audiences'
  const [audience = ''] = audiences
  try {
    if (isReferred(registry, pod, audience)) return undefined
  } catch (e) {
    return `error validating audience ${JSON.stringify(audience)}: ${(e as Error).message}`
  }
  const { decision } = await authorizer.authorize({
    user: a.user,
    verb: 'request-serviceaccounts-token-audience',
    isResource: true,
    group: '',
    version: 'v1',
    resource: audience,
    subresource: '',
    namespace: a.namespace,
    name: a.name,
    path: '',
  })
  if (decision === 'allow') return undefined
  const who = `${a.user.name} is not authorized to request tokens for this audience`
  return `audience ${JSON.stringify(audience)} not found in pod spec volume, ${who}`
}
