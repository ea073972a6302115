/**
 * The ports on which load balancers ask whether a node has endpoints of a Service of theirs (spec.healthCheckNodePort).
 * pkg/proxy/healthcheck/service_health.go
 */
import { createServer, type Server } from 'node:http'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'

export interface HealthCheckOptions {
  services: Informer<Service>
  endpointSlices: Informer<EndpointSlice>
  recorder: EventRecorder
  nodeName: string
  /** Whether the proxy keeps up. */
  isHealthy: () => boolean
  log: Logger
}

const serviceName = 'kubernetes.io/service-name'
/** The proxy's own index. */
const byService = 'proxy-service'
/** A port that something else holds may become free: nobody tells. */
const retryMs = 10_000

export const healthCheckPort = ({ spec }: Service): number | undefined =>
  spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' ? spec.healthCheckNodePort : undefined

/** How many of the Service's endpoints on the node are ready; each address counts once, and of two families the one that has more. */
export function localEndpoints(slices: readonly EndpointSlice[], nodeName: string): number {
  const ready = (of: readonly EndpointSlice[]) =>
    of.flatMap(s => (s.endpoints ?? []).filter(e => e.nodeName === nodeName && (e.conditions?.ready ?? true)))
  const families = Map.groupBy(
    slices.filter(s => s.addressType !== 'FQDN'),
    s => s.addressType,
  )
  return Math.max(0, ...[...families.values()].map(of => new Set(ready(of).map(e => e.addresses[0])).size))
}

/** Starts; ends at `signal`. */
export function serveHealthChecks(options: HealthCheckOptions, signal: AbortSignal): void {
  const { services, endpointSlices, recorder, nodeName, isHealthy, log } = options
  const open = new Map<string, { port: number; server: Server; retry?: NodeJS.Timeout }>()
  endpointSlices.addIndex(byService, ({ metadata: { namespace, labels } }) =>
    labels?.[serviceName] ? [`${namespace}/${labels[serviceName]}`] : [],
  )

  function close(key: string): void {
    const known = open.get(key)
    if (!known) return
    open.delete(key)
    clearTimeout(known.retry)
    known.server.close()
    known.server.closeAllConnections()
  }
  function follow(service: Service, there: boolean): void {
    const { namespace = '', name = '' } = service.metadata
    const key = `${namespace}/${name}`
    const port = there ? healthCheckPort(service) : undefined
    if (open.get(key)?.port === port) return
    close(key)
    if (!port || signal.aborted) return
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
      const count = localEndpoints(endpointSlices.byIndex(byService, key), nodeName)
      const healthy = isHealthy()
      response.writeHead(count > 0 && healthy ? 200 : 503, {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': String(count),
      })
      const body = JSON.stringify({ service: { namespace, name }, localEndpoints: count, serviceProxyHealthy: healthy }, null, '\t')
      response.end(request.method === 'HEAD' ? undefined : body)
    })
    const entry: { port: number; server: Server; retry?: NodeJS.Timeout } = { port, server }
    open.set(key, entry)
    server.maxConnections = 100
    let told = false
    server.on('error', (e: NodeJS.ErrnoException) => {
      const message = `node ${nodeName} failed to start healthcheck "${key}" on port ${port}: ${e.message}`
      if (!told) {
        log.warn({ service: key, port, err: e.message }, 'a health check port cannot be served')
        recorder.event(service, 'Warning', 'FailedToStartServiceHealthcheck', message)
      }
      told = true
      entry.retry = setTimeout(() => server.listen(port), retryMs).unref()
    })
    server.unref()
    // By every family that there is.
    server.listen(port)
  }
  const stop = services.subscribe(({ type, object }) => follow(object, type !== 'DELETED'))
  signal.addEventListener(
    'abort',
    () => {
      stop()
      for (const key of [...open.keys()]) close(key)
    },
    { once: true },
  )
}
