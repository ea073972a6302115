/** Empties terminating namespaces and then lets them go. pkg/controller/namespace */
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { namespaces, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import { StatusError, isStatus } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { conditionsAfter, type Findings } from './conditions.ts'

const finalizer = 'kubernetes'
/** How long to wait for finalizers of others before looking again. */
const recheckMs = 2_000
/** Kinds of one namespace that are emptied at the same time: one that does not answer takes one of the places. */
const kindsAtOnce = 32

export const namespaceController: NewController = ctx => {
  const all = ctx.informer(namespaces)
  const podInformer = ctx.informer(pods)

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [, name] = splitKey(key)
    const namespace = all.get('', name)
    if (!namespace?.metadata.deletionTimestamp || !namespace.spec.finalizers?.includes(finalizer)) return
    const found = await empty(client, name)
    const conditions = conditionsAfter(namespace, found, Date.now())
    let current: Namespace = namespace
    if (conditions !== namespace.status?.conditions) {
      try {
        current = await client.update(
          namespaces,
          { ...namespace, status: { ...namespace.status, phase: 'Terminating', conditions } },
          'status',
        )
      } catch (e) {
        if (isStatus(e, 'NotFound')) return
        throw e
      }
    }
    if (found.discovery !== undefined || found.content.length)
      throw new Error([found.discovery, ...found.content].filter(Boolean).join('; '))
    // Pods tell when they are gone; for anything else that waits for a finalizer, look again.
    if (found.remaining.size) return { requeueAfterMs: recheckMs }
    const { spec } = current
    try {
      await client.update(
        namespaces,
        { ...current, spec: { ...spec, finalizers: spec.finalizers?.filter(f => f !== finalizer) ?? [] } },
        'finalize',
      )
    } catch (e) {
      if (!isStatus(e, 'NotFound')) throw e
    }
  }

  return {
    name: 'namespace-controller',
    client: ctx.as('namespace-controller'),
    // Upstream's number: one that has to do with an API that does not answer is held up.
    workers: 10,
    sources: [
      source(all, e => (e.object.metadata.deletionTimestamp ? [`/${e.object.metadata.name}`] : [])),
      source(podInformer, ({ type, object: { metadata } }) =>
        type === 'DELETED' && all.get('', metadata.namespace ?? '')?.metadata.deletionTimestamp ? [`/${metadata.namespace}`] : [],
      ),
    ],
    reconcile,
    log: ctx.log,
  }
}

/** Deletes everything in a namespace, pods before the rest, and says what is left. */
async function empty(client: Client, namespace: string): Promise<Findings> {
  const found: Findings = { remaining: new Map(), finalizers: new Map(), discovery: undefined, content: [] }
  const { resources, failed } = await discover(client)
  if (failed.length) {
    const lines = failed.map(f => `${f.groupVersion}: ${f.error.message}`).sort()
    found.discovery = `Discovery failed for some groups, ${failed.length} failing: unable to retrieve the complete list of server APIs: ${lines.join(', ')}`
  }
  const deletable = resources.filter(r => r.namespaced && r.verbs.includes('delete') && r.verbs.includes('list'))
  const isPods = (r: Discovered) => r.group === '' && r.plural === 'pods'
  await Promise.all(deletable.filter(isPods).map(r => clear(client, r, namespace, found)))
  // What pods use stays until they are gone.
  if (found.remaining.size || found.content.length) return found
  const rest = deletable.filter(r => !isPods(r))
  await Promise.all(
    Array.from({ length: kindsAtOnce }, async () => {
      for (let kind = rest.pop(); kind; kind = rest.pop()) await clear(client, kind, namespace, found)
    }),
  )
  return found
}

async function clear(client: Client, kind: Discovered, namespace: string, found: Findings): Promise<void> {
  try {
    const before = await client.list<KubeObject>(kind, namespace, { metadataOnly: true })
    if (before.items.length === 0) return
    if (kind.verbs.includes('deletecollection')) await client.deleteCollection(kind, namespace, { propagationPolicy: 'Background' })
    else
      for (const { metadata } of before.items)
        await client.delete(kind, namespace, metadata.name ?? '', { propagationPolicy: 'Background' }).catch((e: unknown) => {
          if (!isStatus(e, 'NotFound')) throw e
        })
    const { items } = await client.list<KubeObject>(kind, namespace, { metadataOnly: true })
    if (items.length) found.remaining.set(`${kind.plural}.${kind.group}`, items.length)
    for (const { metadata } of items) for (const f of metadata.finalizers ?? []) found.finalizers.set(f, (found.finalizers.get(f) ?? 0) + 1)
  } catch (e) {
    // A resource that is gone since discovery has nothing left to delete.
    if (e instanceof StatusError && (e.code === 404 || e.code === 405)) return
    found.content.push((e as Error).message)
  }
}
