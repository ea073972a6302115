/**
 * A real API server on a real nats-server, controllers in this process, and what stands in for nodes: a loop that runs pods in name only.
 */
import type { Registry } from 'prom-client'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import { leases, namespaces, nodes, pods, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { queueMetrics } from '#shared/client/queuemetrics.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient, type RestClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { formatMicroTime, formatTime } from '#shared/machinery/time.ts'
import { defaultSettings, runControllers } from '#control-plane/controller-manager/controllers.ts'
import type { Settings } from '#control-plane/controller-manager/context.ts'
import type { ApiServerOptions } from '#control-plane/apiserver/options.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

export const quiet = logger('test')
quiet.level = process.env['LOG_LEVEL'] ?? 'silent'

export interface Control {
  api: ApiServerFixture
  /** As the administrator. */
  client: Client
  /** Starts the controllers; the function stops them and waits. */
  control(settings?: Partial<Settings>, registry?: Registry): Promise<() => Promise<void>>
  stopControllers(): Promise<void>
  /** A client of the controller manager's own identity. */
  managerClient(): Promise<RestClient>
  namespace(name: string): Promise<string>
  stop(): Promise<void>
}

export async function startControl(options: Partial<ApiServerOptions> = {}): Promise<Control> {
  const api = await startTestApiServer(options)
  const client = newClient(natsTransport(await api.nats.connect('system:admin')), { userAgent: 'test' })
  const running = new Set<() => Promise<void>>()
  const stopControllers = async () => void (await Promise.all([...running].map(end => end())))
  const managerClient = async () =>
    newClient(natsTransport(await api.nats.connect('system:kube-controller-manager')), { userAgent: 'kube-controller-manager' })
  return {
    api,
    client,
    managerClient,
    stopControllers,
    async control(settings = {}, registry) {
      const stop = new AbortController()
      const counted = registry ? { registry, onQueue: queueMetrics(registry) } : {}
      const all = { ...defaultSettings, rootCa: 'CA', ...settings }
      const done = runControllers(await managerClient(), all, stop.signal, quiet, counted)
      const end = async () => {
        running.delete(end)
        stop.abort()
        await done
      }
      running.add(end)
      return end
    },
    async namespace(name) {
      await client.create(namespaces, '', { metadata: { name } } as Namespace)
      // Pods are refused until their service account is there.
      if (running.size) await until('the service account', () => client.get(serviceAccounts, name, 'default'))
      return name
    },
    async stop() {
      await stopControllers()
      await api.stop()
    },
  }
}

/** A node that runs pods in name only: binds what has no node, says it is ready, lets go what is deleted. */
export async function startNode(
  client: Client,
  name: string,
  options: {
    renewMs?: number
    binds?: boolean | ((pod: Pod) => boolean)
    ready?: (pod: Pod) => boolean
    /** Whether it says since when pods run. */
    started?: boolean
    labels?: Record<string, string>
  } = {},
): Promise<{ stop(): void; pods: Set<string> }> {
  const stop = new AbortController()
  const seen = new Set<string>()
  const conditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].map(type => ({
    type,
    status: type === 'Ready' ? 'True' : 'False',
    reason: 'x',
    message: 'x',
    lastHeartbeatTime: formatTime(),
    lastTransitionTime: formatTime(),
  }))
  const { binds = true } = options
  const takes = typeof binds === 'boolean' ? () => binds : binds
  await client.create(nodes, '', { metadata: { name, labels: options.labels ?? {} } } as Node)
  await client.patch(nodes, '', name, 'strategic', { status: { conditions } }, 'status')
  const renew = async (): Promise<void> => {
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: formatMicroTime() }
    try {
      await client.update(leases, { ...(await client.get(leases, 'kube-node-lease', name)), spec })
    } catch (e) {
      if (isStatus(e, 'NotFound'))
        await client.create(leases, 'kube-node-lease', { metadata: { name, namespace: 'kube-node-lease' }, spec } as Lease)
    }
  }
  await renew()
  const timer = setInterval(() => void renew().catch(() => {}), options.renewMs ?? 500)
  stop.signal.addEventListener('abort', () => clearInterval(timer))
  const informer = startInformer(client, pods, { log: quiet }, stop.signal)
  let address = 1
  const act = async (pod: Pod) => {
    const { namespace = '', name: podName = '', uid = '', deletionTimestamp } = pod.metadata
    if (!pod.spec.nodeName && !deletionTimestamp && takes(pod))
      await client.post(pods, namespace, podName, 'binding', {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: podName },
        target: { apiVersion: 'v1', kind: 'Node', name },
      })
    if (pod.spec.nodeName !== name) return
    seen.add(uid)
    if (deletionTimestamp) await client.delete(pods, namespace, podName, { gracePeriodSeconds: 0, preconditions: { uid } })
    else if (pod.status?.phase !== 'Running' && (options.ready?.(pod) ?? true)) {
      const ip = `10.9.${Math.floor(address / 250)}.${1 + (address++ % 250)}`
      const status = {
        phase: 'Running',
        podIP: ip,
        podIPs: [{ ip }],
        ...(options.started ? { startTime: formatTime() } : {}),
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: formatTime() }],
      }
      await client.patch(pods, namespace, podName, 'strategic', { status }, 'status')
    }
  }
  informer.subscribe(e => {
    if (e.type !== 'DELETED') act(e.object).catch(() => {})
  })
  await informer.synced
  return { stop: () => stop.abort(), pods: seen }
}

/**
 * Resolves with what `look` returns as soon as it is not undefined; looks again at every change of the API and shows the last look when it
 * takes too long.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 15_000,
): Promise<T> {
  const end = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
    } catch (e) {
      last = e
    }
    if (performance.now() > end) throw new Error(`waited in vain for ${what}${last ? `: ${String(last)}` : ''}`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}
