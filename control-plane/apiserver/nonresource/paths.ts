/** Paths that are no resources: health, version, metrics, discovery, OpenAPI. */
import type { RequestContext } from '../handler/chain.ts'
import type { RequestMetrics } from '../handler/metrics.ts'
import { noSuchMethod, valueAnswer, type Answer } from '../handler/response.ts'
import type { Registry } from '../registry/registry.ts'
import { healthAnswer, type HealthCheck } from './health.ts'
import { version } from './version.ts'

export interface NonResourceParts {
  readonly registry: Registry
  readonly metrics: RequestMetrics
}

export function nonResourcePaths({ registry, metrics }: NonResourceParts): (ctx: RequestContext) => Answer | Promise<Answer> | undefined {
  const checks: HealthCheck[] = [
    { name: 'ping', check: () => undefined },
    { name: 'log', check: () => undefined },
    { name: 'etcd', check: () => (registry.healthy ? undefined : 'the registry is not reachable') },
    { name: 'informer-sync', only: 'readyz', check: () => (registry.healthy ? undefined : 'the watch cache does not follow the registry') },
  ]
  return ctx => {
    const { path } = ctx.info
    const [first = '', ...rest] = path.split('/').filter(s => s !== '')
    if (first === 'healthz' || first === 'livez' || first === 'readyz') return healthAnswer(first, rest.join('/'), ctx.request.query, checks)
    if (path === '/version' || path === '/version/') {
      if (ctx.request.method !== 'GET') throw noSuchMethod()
      return valueAnswer(200, version, { format: 'json', pretty: true })
    }
    if (path === '/metrics') return metrics.registry.metrics().then(text => ({ code: 200, headers: { 'content-type': metrics.registry.contentType }, body: Buffer.from(text) }))
    return undefined
  }
}
