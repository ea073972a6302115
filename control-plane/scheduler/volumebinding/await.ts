/** Waits until what was asked of the binder and of provisioners has come true. */
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { keyOf } from '#shared/client/controller.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { selectedNode } from '#shared/storage/annotations.ts'
import { claimKey, claimRefKey, isFullyBound, isReachableFrom } from '#shared/storage/volume.ts'

export interface Informers {
  readonly pods: Informer<Pod>
  readonly nodes: Informer<Node>
  readonly claims: Informer<PersistentVolumeClaim>
  readonly volumes: Informer<PersistentVolume>
}
/** What was written: objects as the API answered. */
export interface Written {
  readonly volumes: readonly PersistentVolume[]
  /** Those for which volumes are made. */
  readonly provisions: readonly PersistentVolumeClaim[]
  /** All that are to be bound. */
  readonly claims: readonly PersistentVolumeClaim[]
}

const isNewer = (a: { metadata: PersistentVolume['metadata'] }, b: { metadata: PersistentVolume['metadata'] }): boolean =>
  Number(a.metadata.resourceVersion) > Number(b.metadata.resourceVersion)

/** Whether all are bound. Throws what makes the pod go back to the queue. */
export function checkBindings(pod: Pod, nodeName: string, written: Written, { pods, nodes, claims, volumes }: Informers): boolean {
  const { namespace = '', name: podName = '' } = pod.metadata
  if (pods.get(namespace, podName)?.metadata.uid !== pod.metadata.uid)
    throw new Error(`pod does not exist any more: pod ${JSON.stringify(podName)} not found`)
  const node = nodes.get('', nodeName)
  if (!node) throw new Error(`failed to get node ${JSON.stringify(nodeName)}: node ${JSON.stringify(nodeName)} not found`)
  const checkAffinity = (volume: PersistentVolume): void => {
    if (!isReachableFrom(volume, node))
      throw new Error(
        `pv ${JSON.stringify(volume.metadata.name)} node affinity doesn't match node ${JSON.stringify(nodeName)}: no matching NodeSelectorTerms`,
      )
  }
  for (const volume of written.volumes) {
    const name = JSON.stringify(volume.metadata.name)
    const now = volumes.get('', volume.metadata.name ?? '')
    if (!now) throw new Error(`failed to check binding: could not find v1.PersistentVolume ${name}`)
    if (isNewer(volume, now)) return false
    checkAffinity(now)
    if (!now.spec.claimRef?.uid) throw new Error(`ClaimRef got reset for pv ${name}`)
  }
  for (const claim of written.provisions) {
    const name = JSON.stringify(claim.metadata.name)
    const now = claims.get(namespace, claim.metadata.name ?? '')
    if (!now) throw new Error(`failed to check provisioning pvc: could not find v1.PersistentVolumeClaim "${claimKey(claim)}"`)
    if (isNewer(claim, now)) return false
    if (!now.metadata.annotations) throw new Error(`selectedNode annotation reset for PVC ${name}`)
    if (now.metadata.annotations[selectedNode] !== nodeName) throw new Error(`provisioning failed for PVC ${name}`)
    const volume = now.spec.volumeName ? volumes.get('', now.spec.volumeName) : undefined
    if (now.spec.volumeName && !volume) return false
    if (volume) checkAffinity(volume)
  }
  return written.claims.every(claim => {
    const now = claims.get(namespace, claim.metadata.name ?? '')
    if (!now) throw new Error(`failed to check binding: could not find v1.PersistentVolumeClaim "${claimKey(claim)}"`)
    return isFullyBound(now)
  })
}

/** Looks again at every change of a claim, of its volume or of the pod. Rejects after `timeoutMs`. */
export function bindingWaiter(informers: Informers) {
  const waiting = new Map<string, Set<() => void>>()
  const look = (key: string | undefined): void => waiting.get(key ?? '')?.forEach(check => check())
  informers.claims.subscribe(e => look(keyOf(e.object)))
  informers.volumes.subscribe(e => look(claimRefKey(e.previous ?? e.object)))
  informers.volumes.subscribe(e => look(claimRefKey(e.object)))
  informers.pods.subscribe(e => {
    if (e.type === 'DELETED') look(`pod ${e.object.metadata.uid}`)
  })
  return (pod: Pod, nodeName: string, written: Written, timeoutMs: number): Promise<void> => {
    const keys = [...written.claims.map(claimKey), `pod ${pod.metadata.uid}`]
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        for (const key of keys) {
          const checks = waiting.get(key)
          checks?.delete(check)
          if (checks?.size === 0) waiting.delete(key)
        }
      }
      const check = (): void => {
        try {
          if (!checkBindings(pod, nodeName, written, informers)) return
          end()
          resolve()
        } catch (e) {
          end()
          reject(e as Error)
        }
      }
      const timer = setTimeout(() => {
        end()
        reject(new Error('context deadline exceeded'))
      }, timeoutMs)
      timer.unref()
      for (const key of keys) waiting.set(key, (waiting.get(key) ?? new Set()).add(check))
      check()
    })
  }
}
