/**
 * API aggregation: group versions that other servers answer for, as APIServices say. Follows the stored ones; what is served, and in which
 * order, follows them. https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
 */
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import { apiServices } from '#shared/api/kinds.ts'
import { workQueue } from '#shared/client/workqueue.ts'
import { addMetric } from '#shared/component/metrics.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Registry as Metrics } from 'prom-client'
import type { RequestContext } from '../chain/chain.ts'
import type { Answer } from '../chain/response.ts'
import { registrationGroup, type Priority } from '../discovery/priorities.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { followTables } from '../registry/followtables.ts'
import type { Surface } from '../surface.ts'
import { startAvailability } from './availability.ts'
import { conditionOf, isAvailable } from './available.ts'
import { registerBuiltIn, registerCustom } from './autoregister.ts'
import { fetchDiscovery, fetchOpenApi, noDocuments, type Documents } from './documents.ts'
import { workOn } from './names.ts'
import { errorAnswer, RemoteServer, type RemoteParts } from './remote.ts'

interface Parts {
  readonly store: Store
  /** Of APIServices. */
  readonly endpoint: Endpoint
  readonly surface: Surface
  readonly remote: Pick<RemoteParts, 'bus' | 'proxyClient'>
  readonly metrics: Metrics
  readonly log: Logger
}

export interface Aggregator {
  /** Makes the APIServices of built-in kinds. Resolves when they are there. */
  register(): Promise<void>
  stop(): void
}

/** An APIService that names another server. */
interface Remote {
  readonly group: string
  readonly version: string
  /** By which its server is another. */
  readonly spec: string
  readonly server: RemoteServer | { readonly why: string }
  available: boolean
  documents: Documents
}

/** What is known of a server is asked again after this time; after a failure with a back-off up to it. */
const refreshMs = 60_000

export function startAggregator({ store, endpoint, surface, remote: parts, metrics, log }: Parts): Aggregator {
  const { registry } = store
  const remotes = new Map<string, Remote>()
  const priorities = new Map<string, { key: string; priority: Priority }>()
  const queue = workQueue({ baseMs: 100, limitMs: refreshMs })
  const availability = startAvailability({ store, endpoint, remoteOf: name => remotes.get(name)?.server, log })

  function show(name: string): void {
    const entry = remotes.get(name)
    if (!entry) return
    const { group, version, documents } = entry
    const { resources, openApi } = documents
    const freshness = entry.available ? documents.freshness : 'Stale'
    const before = surface.current.proxied.get(`${group}/${version}`)
    if (before?.resources === resources && before.freshness === freshness && before.openApi === openApi) return
    surface.proxy({ group, version, resources, openApi, freshness, serve: ctx => serve(name, ctx) })
  }
  function forget(name: string): void {
    const entry = remotes.get(name)
    if (!entry) return
    remotes.delete(name)
    if (!('why' in entry.server)) entry.server.retire()
    availability.check(name)
    surface.unproxy(entry.group, entry.version)
  }

  function note(name: string): void {
    const found = registry.get(apiServices, '', name)?.object as unknown as APIService | undefined
    const { group = '', version, groupPriorityMinimum, versionPriority } = found?.spec ?? {}
    if (found && version !== undefined)
      prioritize(name, `${group}/${version}`, { group: groupPriorityMinimum ?? 0, version: versionPriority ?? 0 })
    else if (priorities.delete(name)) prioritized()
    // It registers the others: nobody may take its place.
    if (!found?.spec.service || group === registrationGroup || group === '') return forget(name)
    const spec = JSON.stringify(found.spec)
    const available = isAvailable(found)
    let entry = remotes.get(name)
    const isNew = entry?.spec !== spec
    if (!entry || isNew) {
      if (entry && !('why' in entry.server)) entry.server.retire()
      const documents = entry?.documents ?? noDocuments
      entry = { group, version: found.spec.version ?? '', spec, server: serverOf(found), available, documents }
      remotes.set(name, entry)
    }
    if (available && (isNew || !entry.available)) queue.add(name)
    entry.available = available
    show(name)
    availability.check(name)
  }
  function serverOf(s: APIService): Remote['server'] {
    try {
      return new RemoteServer({ registry, ...parts }, s)
    } catch (e) {
      log.info({ name: s.metadata.name, error: (e as Error).message }, 'an APIService has no usable bundle of authorities')
      return { why: 'unable to load root certificates: unable to parse bytes as PEM block' }
    }
  }
  function prioritize(name: string, key: string, priority: Priority): void {
    const before = priorities.get(name)
    if (before?.priority.group === priority.group && before.priority.version === priority.version) return
    priorities.set(name, { key, priority })
    prioritized()
  }
  let scheduled = false
  let stopped = false
  /** At the end of a turn: many come at once. */
  function prioritized(): void {
    if (scheduled) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (!stopped) surface.prioritize(new Map([...priorities.values()].map(({ key, priority }) => [key, priority])))
    })
  }
  function all(): void {
    for (const name of new Set([...remotes.keys(), ...priorities.keys(), ...registry.list(apiServices).map(s => s.name)])) note(name)
  }

  function serve(name: string, ctx: RequestContext): Answer | Promise<Answer> {
    const entry = remotes.get(name)
    if (!entry?.available) return errorAnswer(503, 'service unavailable')
    return 'why' in entry.server ? errorAnswer(500, entry.server.why) : entry.server.forward(ctx)
  }

  async function refresh(name: string): Promise<void> {
    const entry = remotes.get(name)
    const server = entry?.server
    if (!entry?.available || !server || 'why' in server) return
    const take = (documents: Documents): void => {
      if (remotes.get(name) !== entry) return
      entry.documents = documents
      show(name)
    }
    try {
      take(await fetchDiscovery(server, entry, entry.documents))
    } catch (e) {
      take({ ...entry.documents, freshness: 'Stale' })
      throw e
    }
    take(await fetchOpenApi(server, entry, entry.documents))
  }
  addMetric(metrics, 'aggregator_unavailable_apiservice', 'gauge', 'APIServices whose servers are not available, by name.', () =>
    [...remotes].map(([name, { available }]) => ({ labels: { name }, value: available ? 0 : 1 })),
  )
  addMetric(metrics, 'aggregator_unavailable_apiservice_total', 'counter', 'How often APIServices became unavailable, by reason.', () =>
    [...lost].map(([key, value]) => ({ labels: { name: key.split(' ')[0]!, reason: key.split(' ')[1]! }, value })),
  )
  const lost = new Map<string, number>()
  const registered = registerCustom({ store, endpoint, log })
  const following = followTables(registry, [apiServices], (_, stored) => {
    if (!stored) return all()
    const was = remotes.get(stored.name)?.available
    note(stored.name)
    const now = remotes.get(stored.name)
    const reason = was && now && !now.available ? conditionOf(stored.object as unknown as APIService)?.reason : undefined
    if (reason !== undefined) lost.set(`${stored.name} ${reason}`, (lost.get(`${stored.name} ${reason}`) ?? 0) + 1)
  })
  all()
  const again = async (name: string): Promise<number | undefined> => {
    await refresh(name)
    return remotes.has(name) ? refreshMs : undefined
  }
  void workOn(queue, again, (name, { message }) =>
    log.info({ name, error: message }, 'what an APIService serves could not be learnt; will try again'),
  )
  return {
    register: () => registerBuiltIn({ store, endpoint, log }, surface.current.groupVersions),
    stop() {
      stopped = true
      registered()
      following()
      availability.stop()
      queue.shutDown()
      for (const { server } of remotes.values()) if (!('why' in server)) server.retire()
    },
  }
}
