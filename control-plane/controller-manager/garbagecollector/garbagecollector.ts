/** Deletes objects whose owners are gone; carries out foreground and orphaning deletions. pkg/controller/garbagecollector */
import type { KubeObject, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { apiVersion } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { splitKey } from '#shared/client/controller.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { StatusError, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { AbsentOwners } from './absent.ts'
import { Graph, foregroundFinalizer, nodeOf, orphanFinalizer, refersTo, type Attention, type GraphNode } from './graph.ts'
import { monitor } from './monitors.ts'

/** Dependents of one owner that are orphaned at the same time. */
const orphanedAtOnce = 20

/** `unverifiable`: a namespaced owner of an object in no namespace, which cannot be looked up. */
type Owner = 'solid' | 'dangling' | 'waiting' | 'unverifiable'

export const garbageCollector: NewController = ctx => {
  const recorder = ctx.recorder('garbage-collector-controller')
  const graph = new Graph()
  const absent = new AbsentOwners()
  let queue: WorkQueue | undefined
  // Until everything is listed an owner may only seem to be absent, or to have no dependents.
  const early: Attention = { check: [], orphan: [] }
  const attend = ({ check, orphan }: Attention) => {
    if (!queue) {
      early.check.push(...check)
      early.orphan.push(...orphan)
      return
    }
    for (const uid of check) queue.add(`check/${uid}`)
    for (const uid of orphan) queue.add(`orphan/${uid}`)
  }
  const monitors = monitor(ctx, (kind, type, object) =>
    attend(type === 'DELETED' ? graph.delete(object.metadata.uid ?? '') : graph.set(nodeOf(kind, object))),
  )

  const served = ctx.served()
  /** Objects with an owner of a kind that is not served, by uid: looked at again when it is. */
  const unmapped = new Set<string>()

  async function start(q: WorkQueue): Promise<void> {
    await monitors.start()
    queue = q
    attend(early)
    early.check = early.orphan = []
    served.onChange(() => {
      attend({ check: [...unmapped], orphan: [] })
      unmapped.clear()
    })
  }

  const live = (client: Client, node: GraphNode): Promise<KubeObject | undefined> =>
    client.get(node.kind, node.namespace, node.name).then(
      o => (o.metadata.uid === node.uid ? o : undefined),
      (e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)),
    )

  async function check(uid: string, client: Client): Promise<void> {
    const node = graph.get(uid)
    if (!node || (node.deleting && !node.foreground)) return
    if (node.foreground) return foreground(node, client)
    if (graph.settled(node)) return
    const latest = await live(client, node)
    if (!latest) return attend(graph.delete(uid))
    const refs = latest.metadata.ownerReferences ?? []
    if (refs.length === 0) return
    const states = await Promise.all(refs.map(ref => stateOf(client, node, ref)))
    const { resourceVersion } = latest.metadata
    if (states.includes('unverifiable')) return
    if (states.includes('solid')) {
      if (states.every(s => s === 'solid')) return
      const ownerReferences = refs.filter((_, i) => states[i] === 'solid')
      await change(client, node, { resourceVersion, ownerReferences })
      return
    }
    const dependents = graph.dependents(uid)
    let propagationPolicy: 'Background' | 'Foreground' | 'Orphan' = 'Background'
    let version = resourceVersion
    if (states.includes('waiting') && dependents.length > 0) {
      // A circle of objects that wait for each other would never end.
      if (dependents.some(d => d.foreground) && refs.some(r => r.blockOwnerDeletion)) {
        const ownerReferences = refs.map(r => ({ ...r, blockOwnerDeletion: false }))
        version = (await change(client, node, { resourceVersion, ownerReferences })).metadata.resourceVersion
      }
      propagationPolicy = 'Foreground'
    } else if (latest.metadata.finalizers?.includes(orphanFinalizer)) propagationPolicy = 'Orphan'
    else if (latest.metadata.finalizers?.includes(foregroundFinalizer)) propagationPolicy = 'Foreground'
    ctx.log.info({ kind: node.kind.kind, namespace: node.namespace, name: node.name, propagationPolicy }, 'deleting: its owners are gone')
    try {
      await client.delete(node.kind, node.namespace, node.name, {
        propagationPolicy,
        preconditions: { uid, ...(version ? { resourceVersion: version } : {}) },
      })
    } catch (e) {
      if (!isNotFound(e)) throw e
    }
  }

  async function stateOf(client: Client, node: GraphNode, ref: OwnerReference): Promise<Owner> {
    const known = graph.get(ref.uid)
    if (known && refersTo(ref, node.namespace, known)) return known.foreground ? 'waiting' : 'solid'
    const kind = served.find(ref.apiVersion, ref.kind)
    // An unknown kind says nothing about whether the owner is there: try again later, when discovery may know it.
    if (!kind) {
      served.missing()
      unmapped.add(node.uid)
      throw new Error(`unable to get REST mapping for ${ref.apiVersion}/${ref.kind}.`)
    }
    if (known?.namespace && known.namespace !== node.namespace) invalidNamespace(node, ref)
    if (kind.namespaced && !node.namespace) {
      invalidNamespace(node, ref)
      return 'unverifiable'
    }
    const namespace = kind.namespaced ? node.namespace : ''
    if (absent.has(ref, namespace)) return 'dangling'
    const owner = await client.get<KubeObject>(kind, namespace, ref.name).catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
    if (owner?.metadata.uid === ref.uid) return nodeOf(kind, owner).foreground ? 'waiting' : 'solid'
    absent.add(ref, namespace)
    return 'dangling'
  }
  function invalidNamespace(node: GraphNode, ref: OwnerReference): void {
    const { kind, namespace, name, uid } = node
    const owner = `[${ref.apiVersion}/${ref.kind}, namespace: ${namespace}, name: ${ref.name}, uid: ${ref.uid}]`
    const subject = { apiVersion: apiVersion(kind), kind: kind.kind, metadata: { namespace, name, uid } }
    recorder.event(subject, 'Warning', 'OwnerRefInvalidNamespace', `ownerRef ${owner} does not exist in namespace "${namespace}"`)
  }

  /** Lets the object go when nothing blocks it any more; else sees to what does. */
  async function foreground(node: GraphNode, client: Client): Promise<void> {
    const blocking = graph.dependents(node.uid).filter(d => d.owners.some(o => o.uid === node.uid && o.blockOwnerDeletion))
    if (blocking.length === 0) return dropFinalizer(node, foregroundFinalizer, client)
    for (const d of blocking) if (!d.deleting) queue?.add(`check/${d.uid}`)
  }

  async function orphan(uid: string, client: Client): Promise<void> {
    const node = graph.get(uid)
    if (!node?.orphaning) return
    const left = graph.dependents(uid)
    const results = await Promise.allSettled(
      Array.from({ length: orphanedAtOnce }, async () => {
        for (let dependent = left.pop(); dependent; dependent = left.pop()) await release(dependent, uid, client)
      }),
    )
    for (const r of results) if (r.status === 'rejected') throw r.reason
    await dropFinalizer(node, orphanFinalizer, client)
  }
  /** Takes the reference to `owner` away. */
  async function release(dependent: GraphNode, owner: string, client: Client): Promise<void> {
    const latest = await live(client, dependent)
    if (!latest?.metadata.ownerReferences?.some(r => r.uid === owner)) return
    const { resourceVersion, ownerReferences } = latest.metadata
    await change(client, dependent, { resourceVersion, ownerReferences: ownerReferences.filter(r => r.uid !== owner) }).catch(
      (e: unknown) => {
        if (!isNotFound(e)) throw e
      },
    )
  }

  async function dropFinalizer(node: GraphNode, finalizer: string, client: Client): Promise<void> {
    const latest = await live(client, node)
    if (!latest?.metadata.finalizers?.includes(finalizer)) return
    const { resourceVersion, finalizers } = latest.metadata
    await change(client, node, { resourceVersion, finalizers: finalizers.filter(f => f !== finalizer) }).catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
  }
  /** Every kind takes merge patches, and the version in them makes a change that came between a conflict. */
  const change = (client: Client, { kind, namespace, name, uid }: GraphNode, metadata: object): Promise<KubeObject> =>
    client.patch(kind, namespace, name, 'merge', { metadata: { uid, ...metadata } })

  return {
    name: 'garbage-collector-controller',
    client: ctx.as('generic-garbage-collector'),
    workers: 10,
    // Reads are live where a decision hangs on them, so no informer has to be waited for.
    sources: [],
    start: q => void start(q).catch((e: unknown) => ctx.log.error({ err: e }, 'garbage collector cannot start')),
    async reconcile(key, client) {
      const [what, uid] = splitKey(key)
      try {
        await (what === 'orphan' ? orphan(uid, client) : check(uid, client))
      } catch (e) {
        // The object is another by now: its own events bring it back here if need be.
        if (e instanceof StatusError && e.reason === 'Invalid') return
        throw e
      }
    },
    log: ctx.log,
  }
}
