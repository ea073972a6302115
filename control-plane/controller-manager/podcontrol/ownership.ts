/** Controller references: who manages an object, adopting and releasing by labels as upstream's ControllerRefManager. */
import type { KubeObject, ObjectMeta, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { StatusError } from '#shared/machinery/status.ts'

export const controllerOf = (object: { metadata: ObjectMeta }): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find(r => r.controller)

/** Index keys: the manager's uid, or for what has none `orphans/<namespace>`. */
export const byController = (object: { metadata: ObjectMeta }): string[] => [
  controllerOf(object)?.uid ?? `orphans/${object.metadata.namespace ?? ''}`,
]

/** Keys of the managers of a kind that an event's object had before and has now. */
export function* managersOf(kind: string, { object, previous }: { object: KubeObject; previous?: KubeObject }): Iterable<string> {
  const ref = (one: KubeObject | undefined): OwnerReference | undefined => {
    const manager = one && controllerOf(one)
    return manager?.kind === kind ? manager : undefined
  }
  const [now, before] = [ref(object), ref(previous)]
  if (now) yield `${object.metadata.namespace}/${now.name}`
  if (before && before.name !== now?.name) yield `${object.metadata.namespace}/${before.name}`
}

/** The reference by which `owner` manages an object. */
export const controllerRef = <T extends KubeObject>(kind: Kind<T>, owner: T): OwnerReference => ({
  apiVersion: apiVersion(kind),
  kind: kind.kind,
  name: owner.metadata.name ?? '',
  uid: owner.metadata.uid ?? '',
  controller: true,
  blockOwnerDeletion: true,
})

export type Claim = 'owned' | 'adopt' | 'release' | 'ignore'

/** What to do about one object, given its manager if any, whether it matches the owner's selector, and who is being deleted. */
export function claim(object: KubeObject, owner: KubeObject, matches: boolean): Claim {
  const manager = controllerOf(object)
  if (manager) {
    if (manager.uid !== owner.metadata.uid) return 'ignore'
    if (matches) return 'owned'
    return owner.metadata.deletionTimestamp ? 'ignore' : 'release'
  }
  if (owner.metadata.deletionTimestamp || !matches || object.metadata.deletionTimestamp) return 'ignore'
  return 'adopt'
}

/**
 * The objects that `owner` manages, after adopting orphans that match and releasing what no longer does. All are of one namespace. What is
 * adopted gets `finalizers`, what is released loses them.
 */
export async function claimObjects<O extends KubeObject, T extends KubeObject>(
  client: Client,
  ownerKind: Kind<O>,
  owner: O,
  kind: Kind<T>,
  objects: readonly T[],
  matches: (object: T) => boolean,
  finalizers: readonly string[] = [],
): Promise<T[]> {
  const owned: T[] = []
  let checked: Promise<void> | undefined
  for (const object of objects) {
    const { name = '', namespace = '', uid } = object.metadata
    try {
      switch (claim(object, owner, matches(object))) {
        case 'owned':
          owned.push(object)
          break
        case 'adopt': {
          // The cache may be behind: only an owner that is really there and stays may adopt.
          await (checked ??= stillThere(client, ownerKind, owner))
          const metadata = { ownerReferences: [controllerRef(ownerKind, owner)], uid, ...(finalizers.length ? { finalizers } : {}) }
          owned.push(await client.patch(kind, namespace, name, 'strategic', { metadata }))
          break
        }
        case 'release': {
          const ownerReferences = [{ $patch: 'delete', uid: owner.metadata.uid }]
          const metadata = { ownerReferences, uid, ...(finalizers.length ? { '$deleteFromPrimitiveList/finalizers': finalizers } : {}) }
          await client.patch(kind, namespace, name, 'strategic', { metadata })
          break
        }
        case 'ignore':
      }
    } catch (e) {
      // Gone meanwhile, or replaced by another of its name (the uid in the patch does not fit).
      if (e instanceof StatusError && (e.reason === 'NotFound' || e.reason === 'Invalid')) continue
      throw e
    }
  }
  return owned
}

async function stillThere<O extends KubeObject>(client: Client, kind: Kind<O>, owner: O): Promise<void> {
  const { namespace = '', name = '', uid } = owner.metadata
  const fresh = await client.get(kind, namespace, name)
  if (fresh.metadata.uid !== uid)
    throw new Error(`original ${kind.kind} ${namespace}/${name} is gone: got uid ${fresh.metadata.uid}, wanted ${uid}`)
  if (fresh.metadata.deletionTimestamp) throw new Error(`${namespace}/${name} has just been deleted at ${fresh.metadata.deletionTimestamp}`)
}
