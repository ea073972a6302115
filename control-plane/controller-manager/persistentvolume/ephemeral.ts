/** Makes the claims of pods' generic ephemeral volumes; they belong to the pod and go with it. pkg/controller/volume/ephemeral */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { controllerRef } from '../podcontrol/ownership.ts'
import { hasEnded } from '../podcontrol/pods.ts'

type Volume = NonNullable<LeanPod['spec']['volumes']>[number]
const ephemeralOf = (pod: LeanPod): Volume[] => (pod.spec.volumes ?? []).filter(v => v.ephemeral)

/** The claim of an ephemeral volume. */
export function claimOf(pod: LeanPod, { name, ephemeral }: Volume): PersistentVolumeClaim {
  const { metadata, spec } = ephemeral?.volumeClaimTemplate ?? {}
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: `${pod.metadata.name}-${name}`,
      namespace: pod.metadata.namespace,
      ...(metadata?.labels ? { labels: metadata.labels } : {}),
      ...(metadata?.annotations ? { annotations: metadata.annotations } : {}),
      ownerReferences: [controllerRef(pods, pod)],
    },
    spec: spec ?? {},
  } as PersistentVolumeClaim
}

export const ephemeralVolumeController: NewController = ctx => {
  const recorder = ctx.recorder('ephemeral_volume')
  const podInformer = ctx.informer(pods)
  const claims = ctx.informer(persistentVolumeClaims)
  const creates = ctx.metrics.counter(
    'ephemeral_volume_controller_create_total',
    '[ALPHA] Number of PersistentVolumeClaim creation requests',
  )
  const failures = ctx.metrics.counter(
    'ephemeral_volume_controller_create_failures_total',
    '[ALPHA] Number of PersistentVolumeClaim creation requests',
  )
  const live = (pod: LeanPod): boolean => !pod.metadata.deletionTimestamp && !hasEnded(pod) && ephemeralOf(pod).length > 0
  async function make(client: Client, pod: LeanPod, volume: Volume): Promise<void> {
    const claim = claimOf(pod, volume)
    const { namespace = '', name = '' } = claim.metadata
    const found = claims.get(namespace, name)
    if (found && !found.metadata.ownerReferences?.some(o => o.controller && o.uid === pod.metadata.uid))
      throw new Error(`PVC ${namespace}/${name} was not created for pod ${keyOf(pod)} (pod is not owner)`)
    if (found) return
    creates.add({})
    try {
      await client.create(persistentVolumeClaims, namespace, claim)
    } catch (e) {
      failures.add({})
      // A former one may still be going: it is looked at again when it is gone.
      if (!isAlreadyExists(e)) throw new Error(`create PVC ${name}: ${(e as Error).message}`, { cause: e })
    }
  }
  return {
    name: 'ephemeral-volume-controller',
    client: ctx.as('ephemeral-volume-controller'),
    sources: [
      source(podInformer, e => (e.type !== 'DELETED' && live(e.object) ? [keyOf(e.object)] : [])),
      // One that was deleted under a pod that needs it is made again.
      source(claims, e => {
        const owner = e.type === 'DELETED' ? e.object.metadata.ownerReferences?.find(o => o.controller && o.kind === 'Pod') : undefined
        return owner ? [`${e.object.metadata.namespace}/${owner.name}`] : []
      }),
    ],
    async reconcile(key, client) {
      const pod = podInformer.get(...splitKey(key))
      if (!pod || !live(pod)) return
      for (const volume of ephemeralOf(pod)) {
        try {
          await make(client, pod, volume)
        } catch (e) {
          recorder.event(pod, 'Warning', 'FailedBinding', `ephemeral volume ${volume.name}: ${(e as Error).message}`)
          throw e
        }
      }
    },
    log: ctx.log,
  }
}
