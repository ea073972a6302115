/** Finds or makes the replica set of a deployment's present template, and keeps revisions in step. */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import { deployments, replicaSets } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { isNamespaceTerminating, isStatus } from '#shared/machinery/status.ts'
import { controllerOf } from '../podcontrol/ownership.ts'
import { maxRevision, revision, revisionAnnotation, sameAnnotations, sizeAnnotations, syncedAnnotations } from './annotations.ts'
import { maxSurge, newSize, wanted } from './rolling.ts'
import { conditionOf, hasDeadline, withCondition } from './status.ts'
import { findNew, newReplicaSet, sameTemplate } from './template.ts'

export interface Revisions {
  /** The deployment after what was written here. */
  d: Deployment
  /** Absent when it does not exist and was not to be made. */
  newRS: ReplicaSet | undefined
  old: ReplicaSet[]
}

/** The deployment with its Progressing condition set; itself when that changes nothing. */
function withProgress(d: Deployment, status: 'True' | 'False', reason: string, message: string): Deployment {
  if (!hasDeadline(d)) return d
  const next = withCondition(d.status ?? {}, 'Progressing', status, reason, message, Date.now())
  return next === d.status ? d : { ...d, status: next }
}
/** The deployment with the revision in its annotations; itself when it is there. */
const withRevision = (d: Deployment, text: string): Deployment =>
  d.metadata.annotations?.[revisionAnnotation] === text
    ? d
    : { ...d, metadata: { ...d.metadata, annotations: { ...d.metadata.annotations, [revisionAnnotation]: text } } }
/** Writes what is new. Through the status, as upstream: an annotation that is written otherwise is a new generation. */
const write = async (client: Client, d: Deployment, next: Deployment): Promise<Deployment> =>
  next === d ? d : client.update(deployments, next, 'status')

/** `sets` are the deployment's own replica sets. */
export async function syncRevisions(
  client: Client,
  recorder: EventRecorder,
  d: Deployment,
  sets: readonly ReplicaSet[],
  create: boolean,
): Promise<Revisions> {
  const found = findNew(d, sets)
  const old = sets.filter(rs => rs !== found)
  const newRevision = maxRevision(old) + 1n
  if (found) {
    const annotations = syncedAnnotations(d, found, newRevision)
    const minReadySeconds = d.spec.minReadySeconds ?? 0
    if (!sameAnnotations(found.metadata.annotations, annotations) || (found.spec.minReadySeconds ?? 0) !== minReadySeconds) {
      const changed = { ...found, metadata: { ...found.metadata, annotations }, spec: { ...found.spec, minReadySeconds } }
      return { d, newRS: await client.update(replicaSets, changed), old }
    }
    let next = withRevision(d, String(revision(found)))
    if (!conditionOf(d.status, 'Progressing'))
      next = withProgress(next, 'True', 'FoundNewReplicaSet', `Found new replica set "${found.metadata.name}"`)
    return { d: await write(client, d, next), newRS: found, old }
  }
  if (!create) return { d, newRS: undefined, old }
  const fresh = newReplicaSet(d)
  const replicas = newSize(d, old, 0)
  fresh.metadata.annotations = { ...syncedAnnotations(d, fresh, newRevision), ...sizeAnnotations(wanted(d), wanted(d) + maxSurge(d)) }
  fresh.spec.replicas = replicas
  const { namespace = '', name = '' } = fresh.metadata
  let made: ReplicaSet
  let existed = false
  try {
    made = await client.create(replicaSets, namespace, fresh)
  } catch (e) {
    if (isStatus(e, 'AlreadyExists')) {
      const present = await client.get(replicaSets, namespace, name)
      // Another template's replica set has this hash, or it belongs to somebody else: the next try takes another name.
      if (controllerOf(present)?.uid !== d.metadata.uid || !sameTemplate(present.spec.template, d.spec.template)) {
        await client.update(deployments, { ...d, status: { ...d.status, collisionCount: (d.status?.collisionCount ?? 0) + 1 } }, 'status')
        throw e
      }
      made = present
      existed = true
    } else {
      if (!isNamespaceTerminating(e)) {
        const message = `Failed to create new replica set "${name}": ${(e as Error).message}`
        await write(client, d, withProgress(d, 'False', 'ReplicaSetCreateError', message))
        recorder.event(d, 'Warning', 'ReplicaSetCreateError', message)
      }
      throw e
    }
  }
  if (!existed && replicas > 0) recorder.event(d, 'Normal', 'ScalingReplicaSet', `Scaled up replica set ${name} from 0 to ${replicas}`)
  const numbered = withRevision(d, String(newRevision))
  const next = existed ? numbered : withProgress(numbered, 'True', 'NewReplicaSetCreated', `Created new replica set "${name}"`)
  return { d: await write(client, d, next), newRS: made, old }
}
