/**
 * The ports on which a kubelet and a kube-proxy tell tools of the node that they live.
 * https://kubernetes.io/docs/reference/networking/ports-and-protocols/
 */
import { createServer, type Server } from 'node:http'
import type { Node } from '#shared/api/core/node.ts'
import type { Logger } from '#shared/component/log.ts'
import { observeHealthcheck, sliMetrics } from '#shared/component/slis.ts'
import type { ProxyStatus } from './proxy/status.ts'

interface Answer {
  status: number
  type: string
  body: string
}
/** By path; each is asked anew. */
export type Answers = { readonly [path: string]: () => Answer | Promise<Answer> }

const text = (body: string): Answer => ({ status: 200, type: 'text/plain; charset=utf-8', body })

/** Serves GETs until `signal` aborts. A port that is taken, by another node of a machine whose network they share, is told in the log. */
export function serveAnswers(host: string, port: number, answers: Answers, log: Logger, signal: AbortSignal): Server {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    const made = Object.hasOwn(answers, path) ? answers[path]!() : { ...text('404 page not found\n'), status: 404 }
    Promise.resolve(made).then(
      answer => {
        response.writeHead(answer.status, { 'content-type': answer.type, 'x-content-type-options': 'nosniff' })
        response.end(request.method === 'HEAD' ? undefined : answer.body)
      },
      () => response.writeHead(500).end(),
    )
  })
  server.maxConnections = 100
  server.on('error', (e: NodeJS.ErrnoException) => log.warn({ host, port, err: e.message }, 'health is not served on this port'))
  server.listen(port, host)
  server.unref()
  signal.addEventListener('abort', () => (server.closeAllConnections(), server.close()), { once: true })
  return server
}

/** The kubelet's checks, of which each holds as long as somebody answers. `check`: one of them, all when empty. */
export function kubeletHealth(check = ''): 'ok' {
  for (const name of kubeletChecks) if (check === '' || check === name) observeHealthcheck(name, 'healthz', true)
  return 'ok'
}
const kubeletChecks = ['ping', 'log', 'syncloop']

/** kubelet's --healthz-port. */
export const kubeletAnswers: Answers = {
  '/healthz': () => text(kubeletHealth()),
  ...Object.fromEntries(kubeletChecks.map(check => [`/healthz/${check}`, () => text(kubeletHealth(check))])),
}

/** A node that is about to go should get no more connections from load balancers. */
const eligible = (node: Node): boolean =>
  node.metadata.deletionTimestamp === undefined && !node.spec.taints?.some(t => t.key === 'ToBeDeletedByClusterAutoscaler')

/** kube-proxy's --healthz-bind-address and --metrics-bind-address. `configuration` is what /configz shows. */
export function proxyAnswers(
  mode: string,
  node: () => Node,
  status: ProxyStatus,
  configuration: object,
): { health: Answers; metrics: Answers } {
  const health = (path: 'healthz' | 'livez', healthy: boolean, more: object): Answer => {
    const currentTime = new Date().toISOString()
    const code = healthy ? 200 : 503
    status.countHealthz(path, code)
    const lastUpdated = healthy ? currentTime : status.lastUpdated().toISOString()
    return { status: code, type: 'application/json', body: JSON.stringify({ lastUpdated, currentTime, ...more }) }
  }
  return {
    health: {
      '/healthz': () => {
        const nodeEligible = eligible(node())
        return health('healthz', status.isHealthy() && nodeEligible, { nodeEligible })
      },
      '/livez': () => health('livez', status.isHealthy(), {}),
    },
    metrics: {
      '/proxyMode': () => text(mode),
      '/healthz': () => text('ok'),
      '/metrics': async () => ({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await status.metrics() }),
      async '/metrics/slis'() {
        const slis = await sliMetrics()
        return { ...text(slis.text), type: slis.type }
      },
      '/configz': () => ({ status: 200, type: 'application/json', body: JSON.stringify({ 'kubeproxy.config.k8s.io': configuration }) }),
    },
  }
}
