/** Deletes objects whose owners are gone; carries out foreground and orphaning deletions. pkg/controller/garbagecollector */
import {
  configMaps,
  deployments,
  endpointSlices,
  endpoints,
  leases,
  namespaces,
  nodes,
  pods,
  replicaSets,
  serviceAccounts,
  services,
} from '#shared/api/kinds.ts'
import type { KubeObject, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { apiVersion } from '#shared/api/resource.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import { splitKey } from '#shared/client/controller.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { StatusError, isStatus } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { Graph, foregroundFinalizer, nodeOf, orphanFinalizer, refersTo, type Attention, type GraphNode } from './graph.ts'
import { keepFresh, monitor } from './monitors.ts'

const watchedAnyway = [
  configMaps,
  deployments,
  endpointSlices,
  endpoints,
  leases,
  namespaces,
  nodes,
  pods,
  replicaSets,
  serviceAccounts,
  services,
]

type Owner = 'solid' | 'dangling' | 'waiting'

export const garbageCollector: NewController = ctx => {
  const recorder = ctx.recorder('garbage-collector-controller')
  const graph = new Graph()
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
  const monitors = monitor(ctx, watchedAnyway, (kind, type, object) =>
    attend(type === 'DELETED' ? graph.delete(object.metadata.uid ?? '') : graph.set(nodeOf(kind, object))),
  )

  async function start(q: WorkQueue): Promise<void> {
    for (let wait = 500; !ctx.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      try {
        await monitors.refresh()
        break
      } catch (e) {
        ctx.log.warn({ err: (e as Error).message }, 'discovery failed')
        await sleep(wait, ctx.signal)
      }
    }
    queue = q
    attend(early)
    early.check = early.orphan = []
    await keepFresh(ctx, monitors)
  }

  const live = (client: Client, node: GraphNode): Promise<KubeObject | undefined> =>
    client.get(node.kind, node.namespace, node.name).then(
      o => (o.metadata.uid === node.uid ? o : undefined),
      (e: unknown) => (isStatus(e, 'NotFound') ? undefined : Promise.reject(e)),
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
      if (!isStatus(e, 'NotFound')) throw e
    }
  }

  async function stateOf(client: Client, node: GraphNode, ref: OwnerReference): Promise<Owner> {
    const known = graph.get(ref.uid)
    if (known && refersTo(ref, node.namespace, known)) return known.foreground ? 'waiting' : 'solid'
    const kind = monitors.kindOf(ref.apiVersion, ref.kind)
    // An unknown kind says nothing about whether the owner is there: try again later.
    if (!kind) throw new Error(`unable to get REST mapping for ${ref.apiVersion}/${ref.kind}.`)
    if (known?.namespace && known.namespace !== node.namespace) invalidNamespace(node, ref)
    if (kind.namespaced && !node.namespace) {
      invalidNamespace(node, ref)
      return 'solid'
    }
    try {
      const owner = await client.get<KubeObject>(kind, kind.namespaced ? node.namespace : '', ref.name)
      if (owner.metadata.uid !== ref.uid) return 'dangling'
      return nodeOf(kind, owner).foreground ? 'waiting' : 'solid'
    } catch (e) {
      if (isStatus(e, 'NotFound')) return 'dangling'
      throw e
    }
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
    for (const dependent of graph.dependents(uid)) {
      const latest = await live(client, dependent)
      if (!latest?.metadata.ownerReferences?.some(r => r.uid === uid)) continue
      const { resourceVersion, ownerReferences } = latest.metadata
      await change(client, dependent, { resourceVersion, ownerReferences: ownerReferences.filter(r => r.uid !== uid) }).catch(
        (e: unknown) => {
          if (!isStatus(e, 'NotFound')) throw e
        },
      )
    }
    await dropFinalizer(node, orphanFinalizer, client)
  }

  async function dropFinalizer(node: GraphNode, finalizer: string, client: Client): Promise<void> {
    const latest = await live(client, node)
    if (!latest?.metadata.finalizers?.includes(finalizer)) return
    const { resourceVersion, finalizers } = latest.metadata
    await change(client, node, { resourceVersion, finalizers: finalizers.filter(f => f !== finalizer) }).catch((e: unknown) => {
      if (!isStatus(e, 'NotFound')) throw e
    })
  }
  /** Every kind takes merge patches, and the version in them makes a change that came between a conflict. */
  const change = (client: Client, { kind, namespace, name, uid }: GraphNode, metadata: object): Promise<KubeObject> =>
    client.patch(kind, namespace, name, 'merge', { metadata: { uid, ...metadata } })

  return {
    name: 'garbage-collector-controller',
    client: ctx.client,
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
