/**
 * APIServices of what this cluster serves itself: those of built-in kinds are made when a server starts, those of custom kinds come and go
 * with their definitions (kube-aggregator/pkg/controllers/autoregister, pkg/controlplane/controller/crdregistration).
 */
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import { apiServices, customResourceDefinitions } from '#shared/api/kinds.ts'
import { workQueue } from '#shared/client/workqueue.ts'
import type { Logger } from '#shared/component/log.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { ensure, self } from '../bootstrap/ensure.ts'
import { builtInPriorities, customPriority, type Priority } from '../discovery/priorities.ts'
import { toStored } from '../objects/body.ts'
import { deleteObject } from '../objects/delete.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import { followTables } from '../registry/followtables.ts'
import type { Stored } from '../registry/registry.ts'

/** `onstart` and `true`: who keeps the object, and when. */
export const automanagedLabel = 'kube-aggregator.kubernetes.io/automanaged'
type Automanaged = 'onstart' | 'true'

interface Parts {
  readonly store: Store
  /** Of APIServices. */
  readonly endpoint: Endpoint
  readonly log: Logger
}

const nameOf = (group: string, version: string): string => `${version}.${group}`

function apiServiceOf(group: string, version: string, priority: Priority, automanaged: Automanaged): APIService {
  return {
    kind: 'APIService',
    apiVersion: 'apiregistration.k8s.io/v1',
    metadata: { name: nameOf(group, version), labels: { [automanagedLabel]: automanaged } },
    spec: {
      ...(group === '' ? {} : { group }),
      version,
      groupPriorityMinimum: priority.group,
      versionPriority: priority.version,
    },
  }
}

const managed = ({ metadata }: APIService): string => metadata.labels?.[automanagedLabel] ?? ''

/** Makes the object as it shall be, unless it is somebody else's. */
async function keep({ store, endpoint }: Parts, wanted: APIService): Promise<void> {
  const name = wanted.metadata.name!
  const stored = store.registry.get(apiServices, '', name)
  if (!stored) return ensure(store, endpoint, '', wanted)
  const now = stored.object as unknown as APIService
  if (!managed(now) || sameSpec(now, wanted)) return
  await updateObject(store, endpoint, '', name, current => toStored(endpoint, { ...structuredClone(current!), spec: wanted.spec }), self)
}

const sameSpec = ({ spec: a }: APIService, { spec: b }: APIService): boolean =>
  !a.service &&
  (a.group ?? '') === (b.group ?? '') &&
  a.version === b.version &&
  a.groupPriorityMinimum === b.groupPriorityMinimum &&
  a.versionPriority === b.versionPriority

async function remove({ store, endpoint }: Parts, { name, version }: Stored): Promise<void> {
  const options = { preconditions: { resourceVersion: String(version) } }
  await deleteObject(store, endpoint, '', name, options, self).catch((e: unknown) => {
    if (!isNotFound(e)) throw e
  })
}

/** Makes those of the group versions that are built in, and removes what a former server of another version made; once. */
export async function registerBuiltIn(parts: Parts, groupVersions: Iterable<string>): Promise<void> {
  const wanted = new Map<string, APIService>()
  for (const key of groupVersions) {
    const priority = builtInPriorities.get(key)
    const [group = '', version = ''] = key.split('/')
    if (priority) wanted.set(nameOf(group, version), apiServiceOf(group, version, priority, 'onstart'))
  }
  const left = parts.store.registry
    .list(apiServices)
    .filter(stored => !wanted.has(stored.name) && stored.labels?.[automanagedLabel] === ('onstart' satisfies Automanaged))
  await Promise.all([...[...wanted.values()].map(object => keep(parts, object)), ...left.map(stored => remove(parts, stored))])
}

/** Keeps those of custom kinds, while this server is the first. Returns how to stop. */
export function registerCustom(parts: Parts): () => void {
  const { store, log } = parts
  const { registry } = store
  /** Which definitions serve a group version, by the name of its APIService. */
  const served = new Map<string, { group: string; version: string; by: Set<string> }>()
  const servedBy = new Map<string, string[]>()
  const queue = workQueue({ baseMs: 50, limitMs: 30_000 })

  function note(name: string): void {
    const stored = registry.get(customResourceDefinitions, '', name)
    const before = servedBy.get(name) ?? []
    servedBy.delete(name)
    for (const key of before) served.get(key)?.by.delete(name)
    if (stored) {
      const { group, versions } = (stored.object as unknown as CustomResourceDefinition).spec
      // What somebody else has stored may be otherwise than it may be.
      const keys = (versions ?? []).filter(v => v.served).map(v => ({ key: nameOf(group, v.name), version: v.name }))
      for (const { key, version } of keys) {
        const entry = served.get(key) ?? { group, version, by: new Set() }
        served.set(key, entry)
        entry.by.add(name)
      }
      servedBy.set(
        name,
        keys.map(k => k.key),
      )
    }
    for (const key of new Set([...before, ...(servedBy.get(name) ?? [])])) {
      if (served.get(key)?.by.size === 0) served.delete(key)
      queue.add(key)
    }
  }
  function all(): void {
    for (const name of new Set([...servedBy.keys(), ...registry.list(customResourceDefinitions).map(s => s.name)])) note(name)
    for (const stored of registry.list(apiServices)) if (stored.labels?.[automanagedLabel] === 'true') queue.add(stored.name)
  }
  async function reconcile(name: string): Promise<void> {
    if (!registry.first) return
    const wanted = served.get(name)
    if (wanted) return keep(parts, apiServiceOf(wanted.group, wanted.version, customPriority, 'true'))
    const stored = registry.get(apiServices, '', name)
    if (stored?.labels?.[automanagedLabel] === 'true') await remove(parts, stored)
  }
  async function work(): Promise<void> {
    for (;;) {
      const name = await queue.next()
      if (name === undefined) return
      try {
        await reconcile(name)
        queue.forget(name)
      } catch (e) {
        log.info({ name, error: (e as Error).message }, 'an APIService of a custom kind could not be kept; will try again')
        queue.addRateLimited(name)
      }
      queue.done(name)
    }
  }
  const stops = [
    followTables(registry, [customResourceDefinitions], (_, stored) => (stored ? note(stored.name) : all())),
    followTables(registry, [apiServices], (_, stored) => (stored ? queue.add(stored.name) : all())),
    registry.onFirst(all),
  ]
  all()
  for (let i = 0; i < 4; i++) void work()
  return () => {
    for (const stop of stops) stop()
    queue.shutDown()
  }
}
