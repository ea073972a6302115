/** Objects that every cluster has: made when they are missing, at the start or later, by whichever API server comes first. */
import { defaultServiceCIDR } from '#shared/api/networking/serviceaddresses.ts'
import { systemPriorityClasses } from '#shared/api/scheduling/priorityclass.ts'
import { serviceCidrs } from '../serviceips/servicecidrs.ts'
import { ensure } from './ensure.ts'
import { clusterAuthenticationTrust } from './clusterauthenticationtrust.ts'
import { legacyTokenTracking } from './legacytokentracking.ts'
import type { BootstrapParts } from './parts.ts'
import { bootstrapPolicy } from './policy/policy.ts'
import { keepEndpoints, kubernetesService } from './kubernetes.ts'
import { inconsistent, makeServiceCIDR } from './servicecidr.ts'

const namespaceNames = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

/** What is there before anybody is served: without roles nobody but administrators may do anything. */
export async function bootstrapAccess(parts: Pick<BootstrapParts, 'store' | 'endpoints' | 'log'>): Promise<void> {
  await makeNamespaces(parts)
  await bootstrapPolicy(parts)
}

/** Resolves when the namespaces, the Service and the priority classes are there, with how to stop what goes on. */
export async function bootstrap(parts: BootstrapParts): Promise<() => Promise<void>> {
  await Promise.all([makeMissing(parts), makePriorityClasses(parts)])
  const why = inconsistent(parts)
  if (why !== undefined) parts.log.warn(why)
  const letGo = keep(parts)
  const leave = keepEndpoints(parts)
  return async () => {
    letGo()
    await leave()
  }
}

async function makeMissing(parts: BootstrapParts): Promise<void> {
  await makeNamespaces(parts)
  await makeServiceCIDR(parts)
  await Promise.all([kubernetesService(parts), legacyTokenTracking(parts), clusterAuthenticationTrust(parts)])
}

async function makeNamespaces({ store, endpoints }: Pick<BootstrapParts, 'store' | 'endpoints'>): Promise<void> {
  const namespaces = endpoints.get('/v1/namespaces')!
  await Promise.all(
    namespaceNames.map(async name => {
      if (store.registry.get(namespaces.table, '', name)) return
      await ensure(store, namespaces, '', { kind: 'Namespace', apiVersion: 'v1', metadata: { name } })
    }),
  )
}

/** Made at the start alone, as upstream's do. */
async function makePriorityClasses({ store, endpoints }: BootstrapParts): Promise<void> {
  const classes = endpoints.get('scheduling.k8s.io/v1/priorityclasses')!
  for (const { name, ...rest } of systemPriorityClasses) {
    if (store.registry.get(classes.table, '', name)) continue
    await ensure(store, classes, '', { kind: 'PriorityClass', apiVersion: 'scheduling.k8s.io/v1', metadata: { name }, ...rest })
  }
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
  const range = { table: serviceCidrs, namespace: '', name: defaultServiceCIDR }
  const watched = [service, range, ...namespaceNames.map(name => ({ table: { group: '', plural: 'namespaces' }, namespace: '', name }))]
  const stops = new Map<string, () => void>()
  /** Begins a watch anew when it cannot go on: what it did not see, the round does. */
  const watch = ({ table, namespace, name }: (typeof watched)[number]): void => {
    const stop = registry.watch(
      table,
      { namespace, name, after: registry.version },
      {
        events: events => void (events.at(-1)?.type === 'DELETED' && round()),
        progress: () => {},
        expired() {
          watch({ table, namespace, name })
          round()
        },
      },
    )
    stops.set(`${table.plural}/${name}`, stop)
  }
  watched.forEach(watch)
  round()
  return () => {
    stopped = true
    clearTimeout(timer)
    for (const stop of stops.values()) stop()
  }
}
