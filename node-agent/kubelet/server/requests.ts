/**
 * What the kubelet answers over HTTP, on the paths of upstream's server (pkg/kubelet/server): health, its pods, statistics and metrics, its
 * configuration, logs of containers and of the node. Commands and streams into pods come as sessions of the bus instead.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '#shared/component/log.ts'
import { sliMetrics } from '#shared/component/slis.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { kubeletHealth } from '../../healthz.ts'
import type { Kubelet } from '../kubelet.ts'
import type { CsiDrivers } from '../csi/drivers.ts'
import { httpRequests } from '../metrics.ts'
import { readMachine, type Machine } from '../node/machine.ts'
import { findContainer } from '../pod/containers.ts'
import { containerLog } from '../sessions/logs.ts'
import { fsStats } from '../stats/machine.ts'
import type { Sampler } from '../stats/sampler.ts'
import { cadvisorMetrics } from './cadvisor.ts'
import { serveCsi } from './csi.ts'
import { expositionType } from './exposition.ts'
import { kubeletMetrics } from './metrics.ts'
import { nodeLogs } from './nodelogs.ts'
import { resourceMetrics } from './resource.ts'
import { runningPods } from './runningpods.ts'
import { localVolumes } from '../volumes/localvolumes.ts'
import { serveLocalVolumes } from './localvolumes.ts'

export interface ServerOptions {
  kubelet: Kubelet
  sampler: Sampler
  nodeName: string
  rootDir: string
  /** What /configz shows. */
  configuration: object
  /** CSI drivers of the node, for controllers. */
  drivers?: CsiDrivers | undefined
  log: Logger
}
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void

/** `rest` are the parts of the path behind the first, decoded. */
type Handler = (res: ServerResponse, url: URL, rest: string[], req: IncomingMessage) => Promise<void> | void

export function kubeletRequests(options: ServerOptions): RequestHandler {
  const { log } = options
  const find = routes(options)
  return (req, res) => {
    respond(req, res).catch((e: unknown) => {
      const status = e instanceof StatusError ? e : undefined
      if (!status) log.error({ err: e, path: req.url }, 'a request to the kubelet failed')
      if (res.headersSent) return res.destroy()
      text(res, status?.code ?? 500, `${status?.message ?? (e as Error).message}\n`)
    })
  }
  async function respond(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://kubelet')
    const parts = url.pathname.split('/').filter(part => part !== '')
    let decoded: string[]
    try {
      decoded = parts.map(decodeURIComponent)
    } catch {
      return text(res, 400, '400 Bad Request\n')
    }
    const handler = find(decoded)
    httpRequests.add({
      method: req.method ?? '',
      path: handler ? (decoded[0] ?? '') : 'other',
      server_type: 'readwrite',
      long_running: 'false',
    })
    if (!handler) return text(res, 404, '404 page not found\n')
    const mayWrite = ['localVolumes', 'csi', 'checkpoint'].includes(decoded[0] ?? '')
    if (req.method !== 'GET' && req.method !== 'HEAD' && !mayWrite) return text(res, 405, 'Method Not Allowed\n')
    await handler(res, url, decoded.slice(1), req)
  }
}

function routes({
  kubelet,
  sampler,
  nodeName,
  rootDir,
  configuration,
  drivers,
}: ServerOptions): (path: readonly string[]) => Handler | undefined {
  const metrics = kubeletMetrics({ kubelet, sampler, nodeName })
  const volumes = localVolumes(rootDir)
  let machine: Machine | undefined
  const health =
    (check?: string): Handler =>
    res =>
      text(res, 200, kubeletHealth(check))
  const exact: { readonly [path: string]: Handler } = {
    healthz: health(),
    'healthz/ping': health('ping'),
    'healthz/log': health('log'),
    'healthz/syncloop': health('syncloop'),
    configz: res => json(res, { kubeletconfig: configuration }),
    pods: res => json(res, podList(kubelet.workers().map(w => w.pod))),
    runningpods: res => json(res, podList(runningPods(kubelet))),
    'stats/summary': async (res, url) =>
      json(res, await sampler.summary(!['true', '1'].includes(url.searchParams.get('only_cpu_and_memory') ?? ''))),
    metrics: async res => text(res, 200, await metrics.text(), metrics.type),
    async 'metrics/slis'(res) {
      const slis = await sliMetrics()
      text(res, 200, slis.text, slis.type)
    },
    'metrics/probes': async res => text(res, 200, await metrics.probes(), metrics.type),
    'metrics/resource': async res => text(res, 200, resourceMetrics(await sampler.sample(false)), expositionType),
    async 'metrics/cadvisor'(res) {
      machine ??= readMachine(rootDir)
      const [sample, storage, fs] = await Promise.all([sampler.sample(), sampler.storage(), fsStats(rootDir, '')])
      text(res, 200, cadvisorMetrics(sample, { machine, fs, storage, pressure: sampler.pressure }), expositionType)
    },
  }
  const below: { readonly [first: string]: Handler } = {
    containerLogs: (res, url, rest) => containerLogs(kubelet, rest, url.searchParams, res),
    checkpoint: (res, _url, rest, req) => checkpoint(kubelet, rest, req, res),
    ...(drivers ? { csi: (res, _url, rest, req) => serveCsi(drivers, rest, req, res) } : {}),
    logs: (res, url, rest, req) => nodeLogs(kubelet, rest, url, req, res),
    localVolumes: (res, url, rest, req) => serveLocalVolumes(volumes, rest, url, req, res),
  }
  return path => {
    const whole = path.join('/')
    if (Object.hasOwn(exact, whole)) return exact[whole]
    return Object.hasOwn(below, path[0] ?? '') ? below[path[0]!] : undefined
  }
}

export function text(res: ServerResponse, code: number, body: string, type = 'text/plain; charset=utf-8'): void {
  const bytes = Buffer.from(body)
  res.writeHead(code, { 'content-type': type, 'content-length': bytes.length, 'x-content-type-options': 'nosniff' })
  res.end(bytes)
}
export const json = (res: ServerResponse, value: unknown, code = 200): void => text(res, code, JSON.stringify(value), 'application/json')
const podList = (items: unknown[]): object => ({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items })

const count = (query: URLSearchParams, name: string): object => (query.has(name) ? { [name]: Number(query.get(name)) } : {})
const flag = (query: URLSearchParams, name: string): object => ({ [name]: ['true', '1'].includes(query.get(name) ?? '') })

/** /checkpoint/NAMESPACE/POD/CONTAINER: our runtimes cannot, as CRI's may not, and upstream's kubelet says so in these words. */
function checkpoint(kubelet: Kubelet, rest: readonly string[], req: IncomingMessage, res: ServerResponse): void {
  const [namespace, name, container, ...more] = rest
  if (!namespace || !name || !container || more.length > 0) return text(res, 404, '404 page not found\n')
  if (req.method !== 'POST') return text(res, 405, 'Method Not Allowed\n')
  const pod = kubelet.find(namespace, name)?.pod
  if (!pod) return text(res, 404, 'pod does not exist')
  if (!findContainer(pod, container)) return text(res, 404, `container ${container} does not exist`)
  const why = 'rpc error: code = Unimplemented desc = unknown method CheckpointContainer for service runtime.v1.RuntimeService'
  text(res, 500, `checkpointing of ${namespace}/${name}/${container} failed (${why})`)
}

/** /containerLogs/NAMESPACE/POD/CONTAINER with the query of the API's `log`. */
async function containerLogs(kubelet: Kubelet, rest: readonly string[], query: URLSearchParams, res: ServerResponse): Promise<void> {
  const [namespace, name, container, ...more] = rest
  if (!namespace || !name || !container || more.length > 0) return text(res, 404, '404 page not found\n')
  const asked = {
    namespace,
    name,
    container,
    ...flag(query, 'follow'),
    ...flag(query, 'previous'),
    ...flag(query, 'timestamps'),
    ...count(query, 'tailLines'),
    ...count(query, 'limitBytes'),
    ...count(query, 'sinceSeconds'),
    ...(query.has('sinceTime') ? { sinceTime: query.get('sinceTime') } : {}),
    ...(query.has('stream') ? { stream: query.get('stream') } : {}),
  }
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  res.setHeader('content-type', 'text/plain')
  const write = (data: Uint8Array): Promise<void> => new Promise((resolve, reject) => res.write(data, e => (e ? reject(e) : resolve())))
  await containerLog(kubelet, asked, write, gone.signal)
  res.end()
}
