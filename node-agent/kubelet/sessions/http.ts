/**
 * http: the kubelet's own HTTP server, each session a connection to it: it listens on no port. It answers what the kubelet answers on 10250
 * and this one knows: health, its pods, the summary of what they use, logs of containers.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Session } from '#shared/bus/session.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import type { KubeletContext } from '../context.ts'
import type { Kubelet } from '../kubelet.ts'
import type { Sampler } from '../stats/sampler.ts'
import { containerLog } from './logs.ts'
import { success } from './result.ts'

type Context = Pick<KubeletContext, 'log'> & { sampler: Sampler }

/** What a session of the verb `http` does. */
export function serveHttp(kubelet: Kubelet, context: Context, signal: AbortSignal): (session: Session) => Promise<Status> {
  const server = createServer({ requestTimeout: 60_000 }, (req, res) => {
    answer(kubelet, context, req, res).catch((e: unknown) => {
      const status = e instanceof StatusError ? e : undefined
      if (!status) context.log.error({ err: e, path: req.url }, 'a request to the kubelet failed')
      if (res.headersSent) return res.destroy()
      text(res, status?.code ?? 500, `${status?.message ?? (e as Error).message}\n`)
    })
  })
  signal.addEventListener('abort', () => server.closeAllConnections(), { once: true })
  return async session => {
    const connection = sessionStream(session, 'acceptor')
    server.emit('connection', connection)
    await new Promise(resolve => connection.once('close', resolve))
    return success
  }
}

function text(res: ServerResponse, code: number, body: string, type = 'text/plain; charset=utf-8'): void {
  res.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'x-content-type-options': 'nosniff' })
  res.end(body)
}
const json = (res: ServerResponse, value: unknown): void => text(res, 200, JSON.stringify(value), 'application/json')

async function answer(kubelet: Kubelet, context: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? '/', 'http://kubelet')
  const [first, ...rest] = url.pathname
    .split('/')
    .filter(part => part !== '')
    .map(decodeURIComponent)
  const route = rest.length === 0 ? first : `${first}/${rest.join('/')}`
  const logs = first === 'containerLogs' && rest.length === 3
  if (!logs && !routes.has(route ?? '')) return text(res, 404, '404 page not found\n')
  if (req.method !== 'GET' && req.method !== 'HEAD') return text(res, 405, 'Method Not Allowed\n')
  if (logs) return containerLogs(kubelet, rest as [string, string, string], url.searchParams, res)
  if (route === 'pods') return json(res, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: kubelet.workers().map(w => w.pod) })
  if (route === 'stats/summary') {
    const brief = ['true', '1'].includes(url.searchParams.get('only_cpu_and_memory') ?? '')
    return json(res, await context.sampler.summary(!brief))
  }
  text(res, 200, 'ok')
}
const routes = new Set(['healthz', 'healthz/ping', 'healthz/log', 'pods', 'stats/summary'])

const count = (query: URLSearchParams, name: string): object => (query.has(name) ? { [name]: Number(query.get(name)) } : {})
const flag = (query: URLSearchParams, name: string): object => ({ [name]: ['true', '1'].includes(query.get(name) ?? '') })

/** /containerLogs/NAMESPACE/POD/CONTAINER with the query of the API's `log`. */
async function containerLogs(
  kubelet: Kubelet,
  [namespace, name, container]: [string, string, string],
  query: URLSearchParams,
  res: ServerResponse,
): Promise<void> {
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
  }
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  res.setHeader('content-type', 'text/plain')
  const write = (data: Uint8Array): Promise<void> => new Promise((resolve, reject) => res.write(data, e => (e ? reject(e) : resolve())))
  await containerLog(kubelet, asked, write, gone.signal)
  res.end()
}
