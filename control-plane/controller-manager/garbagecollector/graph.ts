/** Who owns whom: every object of every watched kind by uid, with its owner references. */
import type { KubeObject, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'

export interface GraphNode {
  readonly uid: string
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  readonly owners: readonly OwnerReference[]
  readonly deleting: boolean
  /** Deleted in the foreground: it stays until its blocking dependents are gone. */
  readonly foreground: boolean
  /** Deleted with its dependents to be orphaned. */
  readonly orphaning: boolean
}

/** What an event makes worth looking at, by uid. */
export interface Attention {
  check: string[]
  orphan: string[]
}

export const foregroundFinalizer = 'foregroundDeletion'
export const orphanFinalizer = 'orphan'

export function nodeOf(kind: Kind, { metadata }: KubeObject): GraphNode {
  const deleting = metadata.deletionTimestamp !== undefined
  return {
    uid: metadata.uid ?? '',
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    owners: metadata.ownerReferences ?? [],
    deleting,
    foreground: deleting && Boolean(metadata.finalizers?.includes(foregroundFinalizer)),
    orphaning: deleting && Boolean(metadata.finalizers?.includes(orphanFinalizer)),
  }
}

/** The group of `apps/v1` is `apps`, of `v1` the core group. */
export const groupOf = (apiVersion: string): string => (apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '')
/**
 * Whether `owner` is what the reference names, seen from an object in `namespace`: same kind and name, cluster-scoped or in the same
 * namespace.
 */
export const refersTo = (ref: OwnerReference, namespace: string, owner: GraphNode): boolean =>
  ref.uid === owner.uid &&
  ref.name === owner.name &&
  ref.kind === owner.kind.kind &&
  groupOf(ref.apiVersion) === owner.kind.group &&
  (owner.namespace === '' || owner.namespace === namespace)

export class Graph {
  readonly #nodes = new Map<string, GraphNode>()
  /** Owner's uid to the uids of what names it, whether the owner is known or not. */
  readonly #dependents = new Map<string, Set<string>>()

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid)
  }
  dependents(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].map(d => this.#nodes.get(d)!)
  }
  /** Whether the graph alone shows that all owners are there and stay: nothing to do for this object. */
  settled(node: GraphNode): boolean {
    return node.owners.every(ref => {
      const owner = this.#nodes.get(ref.uid)
      return owner !== undefined && refersTo(ref, node.namespace, owner) && !owner.foreground
    })
  }
  set(node: GraphNode): Attention {
    const before = this.#nodes.get(node.uid)
    this.#unlink(before)
    this.#nodes.set(node.uid, node)
    for (const { uid } of node.owners) {
      const set = this.#dependents.get(uid)
      if (set) set.add(node.uid)
      else this.#dependents.set(uid, new Set([node.uid]))
    }
    const check = this.#waitingOwners(before, node)
    if (!this.settled(node) && !node.deleting) check.push(node.uid)
    if (node.foreground) check.push(node.uid, ...(before?.foreground ? [] : this.dependents(node.uid).map(d => d.uid)))
    return { check, orphan: node.orphaning ? [node.uid] : [] }
  }
  delete(uid: string): Attention {
    const node = this.#nodes.get(uid)
    if (!node) return { check: [], orphan: [] }
    const check = [...this.#waitingOwners(node, undefined), ...(this.#dependents.get(uid) ?? [])]
    this.#unlink(node)
    this.#nodes.delete(uid)
    return { check, orphan: [] }
  }
  /** Owners, old and new, that wait for their dependents. */
  #waitingOwners(before: GraphNode | undefined, now: GraphNode | undefined): string[] {
    const uids = new Set([...(before?.owners ?? []), ...(now?.owners ?? [])].map(o => o.uid))
    return [...uids].filter(uid => this.#nodes.get(uid)?.foreground)
  }
  #unlink(node: GraphNode | undefined): void {
    for (const { uid } of node?.owners ?? []) {
      const set = this.#dependents.get(uid)
      set?.delete(node!.uid)
      if (set?.size === 0) this.#dependents.delete(uid)
    }
  }
}
