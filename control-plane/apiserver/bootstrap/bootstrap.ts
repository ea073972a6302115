/** Objects that every cluster has: made when they are missing, at the start or later, by whichever API server comes first. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Logger } from '#shared/component/log.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import type { ApiServerOptions } from '../options.ts'
import { toStored } from '../objects/body.ts'
import { createObject } from '../objects/create.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store, Writer } from '../objects/store.ts'
import { keepEndpoints, kubernetesService } from './kubernetes.ts'

export interface BootstrapParts {
  readonly store: Store
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly options: ApiServerOptions
  /** Where HTTPS is served. */
  readonly port: number
  readonly log: Logger
}

/** The server itself as a writer. */
export const self: Writer = {
  user: { name: 'system:apiserver', groups: ['system:masters'] },
  dryRun: false,
  fieldManager: 'kube-apiserver',
  subresource: '',
}
const namespaceNames = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

/** Resolves when the namespaces and the Service are there, with how to stop what goes on. */
export async function bootstrap(parts: BootstrapParts): Promise<() => Promise<void>> {
  await makeMissing(parts)
  const letGo = keep(parts)
  const leave = keepEndpoints(parts)
  return async () => {
    letGo()
    await leave()
  }
}

async function makeMissing(parts: BootstrapParts): Promise<void> {
  const { store, endpoints } = parts
  const namespaces = endpoints.get('/v1/namespaces')!
  await Promise.all(
    namespaceNames.map(async name => {
      if (store.registry.get(namespaces.table, '', name)) return
      await ensure(store, namespaces, '', { kind: 'Namespace', apiVersion: 'v1', metadata: { name } })
    }),
  )
  await kubernetesService(parts)
}

const roundMs = 10_000
const retryMs = 500

/** Makes again what somebody deletes: at once, and every ten seconds as upstream, for what a watch did not tell. Returns how to stop. */
function keep(parts: BootstrapParts): () => void {
  const { registry } = parts.store
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()
  let stopped = false
  const round = (): void => {
    running = running.then(async () => {
      if (stopped) return
      const waitMs = await makeMissing(parts).then(
        () => roundMs,
        (e: unknown) => {
          // The address of a service that has just been deleted may not be free yet.
          parts.log.info({ err: (e as Error).message }, 'an object that every cluster has could not be made; will try again')
          return retryMs
        },
      )
      clearTimeout(timer)
      timer = setTimeout(round, waitMs).unref()
    })
  }
  const service = { table: { group: '', plural: 'services' }, namespace: 'default', name: 'kubernetes' }
  const watched = [service, ...namespaceNames.map(name => ({ table: { group: '', plural: 'namespaces' }, namespace: '', name }))]
  const stops = watched.map(({ table, namespace, name }) =>
    registry.watch(
      table,
      { namespace, name, after: registry.version },
      { events: events => events.at(-1)?.type === 'DELETED' && round(), progress: () => {}, expired: () => {} },
    ),
  )
  round()
  return () => {
    stopped = true
    clearTimeout(timer)
    for (const stop of stops) stop()
  }
}

/**
 * Creates an object unless there is one, or another API server makes it first: what that has taken for it (an address) may be what fails
 * here.
 */
export async function ensure(store: Store, endpoint: Endpoint, namespace: string, object: KubeObject): Promise<void> {
  try {
    await createObject(store, endpoint, namespace, toStored(endpoint, object), self)
  } catch (e) {
    if (isAlreadyExists(e)) return
    await store.registry.fresh()
    if (!store.registry.get(endpoint.table, namespace, object.metadata.name ?? '')) throw e
  }
}
