/**
 * The availability controller of remote APIServices: judges by objects, then asks the server. One API server, the first, writes the
 * condition; upstream's all write their own opinion.
 */
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { apiServices, endpointSlices, services } from '#shared/api/kinds.ts'
import { workQueue } from '#shared/client/workqueue.ts'
import type { Logger } from '#shared/component/log.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { self } from '../bootstrap/ensure.ts'
import { toStored } from '../objects/body.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import { slicesOf } from '../proxy/service.ts'
import { followTables } from '../registry/followtables.ts'
import { judge, passed, withCondition, type Availability } from './available.ts'
import { workOn, type Next } from './names.ts'
import type { RemoteServer } from './remote.ts'

interface Parts {
  readonly store: Store
  /** Of APIServices. */
  readonly endpoint: Endpoint
  /** What an APIService's server is asked through; undefined for one that cannot be asked: `why`. */
  readonly remoteOf: (name: string) => RemoteServer | { readonly why: string } | undefined
  readonly log: Logger
}

export interface AvailabilityController {
  /** An APIService is there, has another server, or is gone. */
  check(name: string): void
  stop(): void
}

/** What is available is asked again after this time, what is not with a back-off up to it. */
const resyncMs = 30_000
const discoveryDeadlineMs = 5_000
/** Any that succeeds is enough: behind a Service there may be several servers. */
const furtherAttempts = 4
/** Of the answer only the code is looked at. */
const maxBytes = 4 * 1024 * 1024

const serviceKey = (namespace: string, name: string): string => `${namespace}/${name}`
const serviceNameLabel = 'kubernetes.io/service-name'

export function startAvailability({ store, endpoint, remoteOf, log }: Parts): AvailabilityController {
  const { registry } = store
  const queue = workQueue({ baseMs: 5, limitMs: resyncMs })
  /** APIServices by the Service that they name. */
  const byService = new Map<string, Set<string>>()
  const serviceOf = new Map<string, string>()

  const find = (name: string): APIService | undefined => {
    const found = registry.get(apiServices, '', name)?.object as unknown as APIService | undefined
    return found?.spec.service ? found : undefined
  }
  function check(name: string): void {
    const { namespace = '', name: service = '' } = find(name)?.spec.service ?? {}
    const key = service === '' ? undefined : serviceKey(namespace, service)
    const before = serviceOf.get(name)
    if (before !== key) {
      if (before !== undefined && byService.get(before)?.delete(name) && byService.get(before)!.size === 0) byService.delete(before)
      if (key === undefined) serviceOf.delete(name)
      else {
        serviceOf.set(name, key)
        byService.set(key, (byService.get(key) ?? new Set()).add(name))
      }
    }
    queue.add(name)
  }
  const checkAll = (): void => {
    for (const name of serviceOf.keys()) queue.add(name)
  }

  /** Asks for the discovery of its group version. Undefined when it answers. */
  async function attempt({ spec, metadata }: APIService, remote: RemoteServer): Promise<string | undefined> {
    const path = metadata.name === 'v1.' ? `/api/${spec.version}` : `/apis/${spec.group}/${spec.version}`
    const url = (): string => `https://${remote.endpoint}${path}`
    try {
      const { code } = await remote.fetch(path, { deadlineMs: discoveryDeadlineMs, maxBytes }, true)
      if (code >= 200 && code < 300) return undefined
      return `failing or missing response from ${url()}: bad status from ${url()}: ${code}`
    } catch (e) {
      return `failing or missing response from ${url()}: Get ${JSON.stringify(url())}: ${(e as Error).message}`
    }
  }

  async function judged(s: APIService): Promise<Availability> {
    const { namespace = '', name = '' } = s.spec.service ?? {}
    const service = registry.get(services, namespace, name)?.object as unknown as Service | undefined
    const by = judge(s, service, () => slicesOf(registry, namespace, name).map(stored => stored.object as unknown as EndpointSlice))
    if (by) return by
    const remote = remoteOf(s.metadata.name!)
    if (!remote || 'why' in remote) return passed
    const first = await attempt(s, remote)
    if (first === undefined) return passed
    const others = await Promise.all(Array.from({ length: furtherAttempts }, () => attempt(s, remote)))
    return others.includes(undefined) ? passed : { status: 'False', reason: 'FailedDiscoveryCheck', message: others.at(-1)! }
  }

  /** Whether it is to be looked at again as after a failure. */
  async function sync(name: string): Promise<boolean> {
    const s = find(name)
    if (!s || !registry.first) return false
    const availability = await judged(s)
    if (withCondition(s, availability)) await write(name, s.metadata.uid, availability)
    return availability.reason === 'FailedDiscoveryCheck'
  }

  async function write(name: string, uid: string | undefined, is: Availability): Promise<void> {
    log.info({ name, status: is.status, reason: is.reason, message: is.message }, 'the availability of an APIService changed')
    try {
      const change = (current: object | undefined) => {
        const now = structuredClone(current) as APIService
        return toStored(endpoint, (now.metadata.uid === uid && now.spec.service ? (withCondition(now, is) ?? now) : now) as never)
      }
      await updateObject(store, endpoint, '', name, change, { ...self, subresource: 'status' })
    } catch (e) {
      if (!isNotFound(e)) throw e
    }
  }

  const again = async (name: string): Promise<Next> => {
    if (await sync(name)) return 'back off'
    return serviceOf.has(name) ? resyncMs : undefined
  }
  const stops = [
    followTables(registry, [services, endpointSlices], (table, stored) => {
      if (byService.size === 0) return
      if (!stored) return checkAll()
      const service = table === services ? stored.name : stored.labels?.[serviceNameLabel]
      for (const name of (service && byService.get(serviceKey(stored.namespace, service))) || []) queue.add(name)
    }),
    registry.onFirst(checkAll),
  ]
  void workOn(queue, again, (name, { message }) =>
    log.info({ name, error: message }, 'the availability of an APIService could not be written; will try again'),
  )
  return {
    check,
    stop() {
      for (const stop of stops) stop()
      queue.shutDown()
    },
  }
}
