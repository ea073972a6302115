/**
 * What belongs to a node: the pods that are bound to it, what these refer to, and the volumes behind their claims. Looked up in the watch
 * cache, which indexes pods by their node and follows the store: nothing else has to be kept, and nothing can be out of date by itself.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Registry, Stored } from '../../registry/registry.ts'
import { referencesOf, secretsOfVolume, type Referred } from './references.ts'

const core = (plural: string) => ({ group: '', plural })
const pods = core('pods')
const claims = core('persistentvolumeclaims')
const volumes = core('persistentvolumes')
const slices = { group: 'resource.k8s.io', plural: 'resourceslices' }
const attachments = { group: 'storage.k8s.io', plural: 'volumeattachments' }

const podOf = (stored: Stored): Pod => stored.object as Pod
const podsOf = (registry: Registry, node: string, namespace?: string): readonly Stored[] =>
  registry.list(pods, namespace, { path: 'spec.nodeName', value: node })

/** Whether the pod is bound to the node. */
export const hasPod = (registry: Registry, node: string, namespace: string, name: string): boolean => {
  const pod = registry.get(pods, namespace, name)
  return pod !== undefined && podOf(pod).spec.nodeName === node
}

/** Whether a pod of the node refers to an object of that kind. Most pods are not even parsed: the name is nowhere in their text. */
export function isReferred(registry: Registry, node: string, what: Referred, namespace: string, name: string): boolean {
  const generic = what === 'persistentvolumeclaims' ? '"ephemeral":' : undefined
  for (const stored of podsOf(registry, node, namespace)) {
    if (!stored.json.includes(`"${name}"`) && !(generic && stored.json.includes(generic))) continue
    for (const referred of referencesOf(podOf(stored), what)) if (referred === name) return true
  }
  return false
}

/** The volumes behind the claims of the node's pods. */
function* volumesOf(registry: Registry, node: string): Generator<string> {
  for (const stored of podsOf(registry, node)) {
    if (!stored.json.includes('"persistentVolumeClaim":') && !stored.json.includes('"ephemeral":')) continue
    for (const claim of referencesOf(podOf(stored), 'persistentvolumeclaims')) {
      const object = registry.get(claims, stored.namespace, claim)?.object as { spec?: { volumeName?: string } } | undefined
      if (object?.spec?.volumeName) yield object.spec.volumeName
    }
  }
}

export function hasVolume(registry: Registry, node: string, name: string): boolean {
  for (const volume of volumesOf(registry, node)) if (volume === name) return true
  return false
}

/** Whether a volume of the node's needs the Secret. */
export function hasVolumeSecret(registry: Registry, node: string, namespace: string, name: string): boolean {
  for (const volume of volumesOf(registry, node)) {
    const object = registry.get(volumes, '', volume)?.object as { spec?: Record<string, unknown> } | undefined
    for (const secret of secretsOfVolume(object?.spec ?? {})) if (secret.namespace === namespace && secret.name === name) return true
  }
  return false
}

/** Whether a pod of the node uses the claim of devices. */
export function hasResourceClaim(registry: Registry, node: string, namespace: string, name: string): boolean {
  for (const stored of podsOf(registry, node, namespace)) {
    if (!stored.json.includes(`"${name}"`)) continue
    const { spec, status } = podOf(stored)
    if (spec.resourceClaims?.some(c => c.resourceClaimName === name)) return true
    if (status?.resourceClaimStatuses?.some(s => s.resourceClaimName === name)) return true
  }
  return false
}

const nodeNameOf = (stored: Stored | undefined): string | undefined =>
  (stored?.object as { spec?: { nodeName?: string } } | undefined)?.spec?.nodeName
export const hasAttachment = (registry: Registry, node: string, name: string): boolean =>
  nodeNameOf(registry.get(attachments, '', name)) === node
export const hasSlice = (registry: Registry, node: string, name: string): boolean => nodeNameOf(registry.get(slices, '', name)) === node
