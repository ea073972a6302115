/** How many pods there should be of those that a budget guards: what their controllers want, together. */
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { scaledValue } from '#shared/machinery/intstr.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { ReplicationController } from '#shared/api/core/replicationcontroller.ts'
import type { Scale } from '#shared/api/autoscaling/scale.ts'
import { controllerOf } from '../podcontrol/ownership.ts'
import type { ServedKinds } from '../servedkinds.ts'

export interface Expected {
  readonly count: number
  /** The least number of healthy ones. */
  readonly healthy: number
  /** Pods that nobody manages, which are not counted. */
  readonly unmanaged: readonly LeanPod[]
}
/** A controller and how many pods it wants. */
export interface ControllerScale {
  readonly uid: string
  readonly replicas: number
}

/** Rejects when what some pod's controller wants cannot be learnt. */
export async function expectedPods(
  { spec }: PodDisruptionBudget,
  guarded: readonly LeanPod[],
  scale: (pod: LeanPod) => Promise<ControllerScale | undefined>,
): Promise<Expected> {
  const { maxUnavailable, minAvailable } = spec
  if (maxUnavailable === undefined && typeof minAvailable === 'number')
    return { count: guarded.length, healthy: minAvailable, unmanaged: [] }
  if (maxUnavailable === undefined && minAvailable === undefined) return { count: 0, healthy: 0, unmanaged: [] }
  const wanted = new Map<string, number>()
  const asked = new Set<string>()
  const unmanaged: LeanPod[] = []
  for (const pod of guarded) {
    const owner = controllerOf(pod)
    if (!owner) unmanaged.push(pod)
    else if (!asked.has(owner.uid)) {
      asked.add(owner.uid)
      const found = await scale(pod)
      if (!found) throw new Error(`found no controllers for pod ${JSON.stringify(pod.metadata.name)}`)
      wanted.set(found.uid, found.replicas)
    }
  }
  const count = [...wanted.values()].reduce((a, b) => a + b, 0)
  const healthy =
    maxUnavailable === undefined ? scaledValue(minAvailable!, count, true) : Math.max(0, count - scaledValue(maxUnavailable, count, true))
  return { count, healthy, unmanaged }
}

export interface Owners {
  readonly ReplicaSet: Informer<ReplicaSet>
  readonly Deployment: Informer<Deployment>
  readonly StatefulSet: Informer<StatefulSet>
  readonly ReplicationController: Informer<ReplicationController>
}

/** The workload that a pod is of in the end, and how many pods it wants; undefined when there is none. */
export async function scaleOf(client: Client, served: ServedKinds, owners: Owners, pod: LeanPod): Promise<ControllerScale | undefined> {
  const ref = controllerOf(pod)!
  const { namespace = '' } = pod.metadata
  const [group] = ref.apiVersion.includes('/') ? ref.apiVersion.split('/') : ['']
  const own = (
    informer: Informer<ReplicaSet> | Informer<StatefulSet> | Informer<ReplicationController> | Informer<Deployment>,
    by: OwnerReference,
  ) => {
    const found = informer.get(namespace, by.name)
    return found?.metadata.uid === by.uid ? found : undefined
  }
  const scale = (o: { metadata: { uid?: string | undefined }; spec: { replicas?: number | undefined } } | undefined) =>
    o && { uid: o.metadata.uid ?? '', replicas: o.spec.replicas ?? 1 }
  if (group === '' && ref.kind === 'ReplicationController') return scale(own(owners.ReplicationController, ref))
  if (group === 'apps' && ref.kind === 'StatefulSet') return scale(own(owners.StatefulSet, ref))
  if (group === 'apps' && ref.kind === 'ReplicaSet') {
    const set = own(owners.ReplicaSet, ref)
    const above = set && controllerOf(set)
    return above?.kind === 'Deployment' ? scale(own(owners.Deployment, above)) : scale(set)
  }
  return scaleOfOther(client, served, namespace, ref)
}

/** Of a kind that the controller manager does not know: by its scale subresource. */
async function scaleOfOther(
  client: Client,
  served: ServedKinds,
  namespace: string,
  ref: OwnerReference,
): Promise<ControllerScale | undefined> {
  await served.known
  const kind = served.find(ref.apiVersion, ref.kind)
  if (!kind) {
    served.missing()
    throw new Error(`no matches for kind ${JSON.stringify(ref.kind)} in version ${JSON.stringify(ref.apiVersion)}`)
  }
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`
  const at = `${root}/namespaces/${namespace}/${kind.plural}/${encodeURIComponent(ref.name)}`
  try {
    const { metadata, spec } = await client.raw<Scale>('GET', `${at}/scale`)
    return metadata.uid === ref.uid ? { uid: ref.uid, replicas: spec?.replicas ?? 0 } : undefined
  } catch (e) {
    if (!isNotFound(e)) throw e
    // Either the object is gone, or its kind has no scale. What this controller may not read is there as far as it can tell.
    const exists = await client.raw('GET', at).then(
      () => true,
      (why: unknown) => (isNotFound(why) ? false : isStatus(why, 'Forbidden') || Promise.reject(why)),
    )
    if (exists) throw new Error(`${kind.plural}${kind.group ? `.${kind.group}` : ''} does not implement the scale subresource`)
    return undefined
  }
}
