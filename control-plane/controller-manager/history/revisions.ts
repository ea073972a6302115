/** ControllerRevisions: the states of an object's template that it can be rolled back to. pkg/controller/history */
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import { controllerRevisions } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { canonical } from '#shared/machinery/hash.ts'
import { isAlreadyExists, isNotFound } from '#shared/machinery/status.ts'
import { controllerOf, controllerRef } from '../podcontrol/ownership.ts'

/** The label by which pods name their revision. */
export const revisionHashLabel = 'controller-revision-hash'

/** What is kept of a template: a strategic merge patch that puts it back. Its keys are in order: kubectl compares the bytes. */
export const templatePatch = (template: object): object =>
  JSON.parse(canonical({ spec: { template: { ...template, $patch: 'replace' } } })) as object
export const sameData = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

/** Oldest first. */
export const byRevision = (a: ControllerRevision, b: ControllerRevision): number =>
  a.revision - b.revision ||
  (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
  (a.metadata.name! < b.metadata.name! ? -1 : 1)
const newest = (revisions: readonly ControllerRevision[]): number => Math.max(0, ...revisions.map(r => r.revision))

/** A state to keep. `collisions` tells apart what has the same hash. */
export interface Snapshot {
  readonly data: object
  name(collisions: number | undefined): string
  labels(collisions: number | undefined): Record<string, string>
}

/**
 * The revision of the present state among `revisions`, which are the owner's own: raised to the newest after a rollback, made when there is
 * none. `collisions` is what its owner's status is to say.
 */
export async function presentRevision<T extends KubeObject>(
  client: Client,
  kind: Kind<T>,
  owner: T,
  revisions: readonly ControllerRevision[],
  { data, name, labels }: Snapshot,
  collisions: number | undefined,
): Promise<{ revision: ControllerRevision; collisions: number | undefined }> {
  const same = revisions
    .filter(r => sameData(r.data, data))
    .sort(byRevision)
    .at(-1)
  const next = newest(revisions.filter(r => r !== same)) + 1
  if (same)
    return { revision: same.revision >= next ? same : await client.update(controllerRevisions, { ...same, revision: next }), collisions }
  const namespace = owner.metadata.namespace ?? ''
  for (; ; collisions = (collisions ?? 0) + 1) {
    const { annotations } = owner.metadata
    const revision = {
      metadata: {
        name: name(collisions),
        namespace,
        labels: labels(collisions),
        ...(annotations ? { annotations } : {}),
        ownerReferences: [controllerRef(kind, owner)],
      },
      data,
      revision: next,
    } as ControllerRevision
    try {
      return { revision: await client.create(controllerRevisions, namespace, revision), collisions }
    } catch (e) {
      if (!isAlreadyExists(e)) throw e
      // Ours, and the cache does not know it yet; or another's state has this hash, and the next name is tried.
      const present = await client.get(controllerRevisions, namespace, revision.metadata.name!)
      if (controllerOf(present)?.uid === owner.metadata.uid && sameData(present.data, data)) return { revision: present, collisions }
    }
  }
}

/** Deletes the oldest revisions beyond `limit` of those that are in nobody's use. */
export async function dropHistory(client: Client, unused: readonly ControllerRevision[], limit: number): Promise<void> {
  for (const { metadata } of [...unused].sort(byRevision).slice(0, Math.max(0, unused.length - limit)))
    await client.delete(controllerRevisions, metadata.namespace ?? '', metadata.name ?? '').catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
}
