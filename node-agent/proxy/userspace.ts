/**
 * kube-proxy's `userspace` backend, for nodes that may not change packet rules: follows Services and EndpointSlices and tells a thread
 * where to listen.
 */
import { Worker } from 'node:worker_threads'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { newNodeZone, type ZoneOptions } from './nodezone.ts'
import type { Proxy } from './proxy.ts'
import type { ProxyStatus } from './status.ts'
import { mergeListeners, serviceListeners, type Listener, type Unproxied } from './userspace/listeners.ts'
import type { Applied } from './userspace/worker.ts'

export interface UserspaceProxyOptions extends ZoneOptions {
  services: Informer<Service>
  endpointSlices: Informer<EndpointSlice>
  /** For events of Services that cannot be served as they ask. */
  recorder: EventRecorder
  status: ProxyStatus
  /** Where node ports answer. */
  nodeAddresses: readonly string[]
  log: Logger
}

const BATCH_MS = 10
/** A place that something else holds may become free: nobody tells. */
const RETRY_MS = 10_000
const SERVICE_NAME = 'kubernetes.io/service-name'

const worker = (): Worker =>
  new Worker(new URL(import.meta.url.endsWith('.ts') ? './userspace/worker.ts' : './userspace-proxy.js', import.meta.url))

/** Starts; ends at `signal`, and connections with it. */
export function startUserspaceProxy(options: UserspaceProxyOptions, signal: AbortSignal): Proxy {
  const { services, endpointSlices, recorder, status, log } = options
  const models = new Map<string, ReturnType<typeof serviceListeners>>()
  const dirty = new Set<string>()
  /** What was told in an event already. */
  const told = new Set<string>()
  const { promise: synced, resolve: firstApplied } = Promise.withResolvers<void>()
  let wanted = new Map<string, Listener>()
  let timer: NodeJS.Timeout | undefined
  let retry: NodeJS.Timeout | undefined
  let thread = start()

  function start(): Worker {
    const next = worker()
    next.on('message', ({ failed }: Applied) => applied(failed))
    next.on('error', error => log.error({ err: error }, 'the proxy thread failed'))
    next.on('exit', () => {
      if (signal.aborted) return
      setTimeout(() => {
        thread = start()
        thread.postMessage(wanted)
      }, 1000)
    })
    return next
  }

  const ownerOf = ({ metadata }: EndpointSlice): string[] =>
    metadata.labels?.[SERVICE_NAME] ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`] : []
  endpointSlices.addIndex('proxy-service', ownerOf)
  let started = false
  const mark = (keys: readonly string[]): void => {
    for (const key of keys) dirty.add(key)
    if (started && !signal.aborted) timer ??= setTimeout(sync, BATCH_MS)
  }

  function sync(): void {
    timer = undefined
    status.syncing()
    for (const key of dirty) {
      const [namespace, name] = key.split('/') as [string, string]
      const service = services.get(namespace, name)
      if (!service) {
        models.delete(key)
        for (const text of told) if (text.startsWith(`${key} `)) told.delete(text)
        continue
      }
      const model = serviceListeners(service, endpointSlices.byIndex('proxy-service', key), { ...options, zone: zone.now() })
      model.unproxied.forEach(tell)
      models.set(key, model)
    }
    dirty.clear()
    wanted = mergeListeners([...models].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, model]) => model.listeners))
    thread.postMessage(wanted)
  }

  function tell({ service, why }: Unproxied): void {
    const [namespace, name] = service.split('/') as [string, string]
    const object = services.get(namespace, name)
    if (!object || told.has(`${service} ${why}`)) return
    told.add(`${service} ${why}`)
    log.warn({ service, why }, 'a service is not served as it asks')
    recorder.event(object, 'Warning', 'FailedToListen', why)
  }

  function applied(failed: Applied['failed']): void {
    firstApplied()
    status.written()
    for (const [key, code] of failed) {
      const listener = wanted.get(key)
      if (listener)
        tell({
          service: listener.service,
          why: `${listener.what} is not served on node ${options.nodeName}: ${reason(code, listener.port)}`,
        })
    }
    clearTimeout(retry)
    if (failed.size > 0 && !signal.aborted) retry = setTimeout(() => thread.postMessage(wanted), RETRY_MS)
  }

  const zone = newNodeZone(options, () => mark(services.list().map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)))
  const stops = [
    zone.stop,
    services.subscribe(({ object }) => (status.serviceChanged(), mark([`${object.metadata.namespace}/${object.metadata.name}`]))),
    endpointSlices.subscribe(
      ({ object, previous }) => (status.endpointsChanged(object), mark([...ownerOf(object), ...(previous ? ownerOf(previous) : [])])),
    ),
  ]
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    clearTimeout(retry)
    for (const stop of stops) stop()
    void thread.terminate()
  })
  void Promise.all([services.synced, endpointSlices.synced, zone.synced]).then(() => {
    started = true
    mark([])
  })
  return { synced }
}

/** The system's refusal for a person. */
function reason(code: string, port: number): string {
  if (code === 'EACCES')
    return `the system gives ports below 1024 to root only (sysctl net.ipv4.ip_unprivileged_port_start=${port} gives ${port} to everybody); a Service's port from 1024 on, or its node port, works`
  if (code === 'EADDRINUSE') return 'another process listens there'
  if (code === 'EADDRNOTAVAIL') return 'the machine does not have that address; a node port works'
  return code
}
