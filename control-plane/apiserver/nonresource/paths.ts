/** Paths that are no resources: health, version, metrics, discovery, OpenAPI. */
import { healthText, type HealthCheck } from '#shared/component/health.ts'
import { sliMetrics } from '#shared/component/slis.ts'
import type { RequestContext } from '../chain/chain.ts'
import type { RequestMetrics } from '../chain/metrics.ts'
import { noSuchMethod, pageNotFound, textAnswer, valueAnswer, type Answer } from '../chain/response.ts'
import { pauses } from '../chain/turn.ts'
import { contentTypeOf, formOf } from '../openapi/accept.ts'
import { encodeGnosticV3 } from '../openapi/gnosticv3.ts'
import { openApi } from '../openapi/openapi.ts'
import type { Registry } from '../registry/registry.ts'
import type { Surface } from '../surface.ts'
import { cached, discovery } from './discovery.ts'
import { discoveryPath, keysPath, type IssuerDocuments } from './openid.ts'
import { version } from './version.ts'

export interface NonResourceParts {
  readonly registry: Registry
  readonly metrics: RequestMetrics
  readonly surface: Surface
  /** Where clients reach this server, `10.0.0.1:6443`. */
  readonly serverAddress: () => string
  /** Of the issuer of service-account tokens; undefined when it cannot have any. */
  readonly issuer?: IssuerDocuments | undefined
  /** Things beside the registry that a ready server has done. */
  readonly checks: readonly HealthCheck[]
}

/** To who asks for OpenAPI in another form: without a word, as upstream. */
const notAcceptable: Answer = { code: 406, headers: { vary: 'Accept' }, body: Buffer.alloc(0) }

export function nonResourcePaths(parts: NonResourceParts): (ctx: RequestContext) => Answer | Promise<Answer> | undefined {
  const { registry, metrics } = parts
  const checks: HealthCheck[] = [
    { name: 'ping', check: () => undefined },
    { name: 'log', check: () => undefined },
    {
      name: 'etcd',
      check: () =>
        !registry.healthy ? 'the registry is not reachable' : registry.answersWrites ? undefined : 'the store does not answer writes',
    },
    { name: 'informer-sync', only: 'readyz', check: () => (registry.healthy ? undefined : 'the watch cache does not follow the registry') },
    ...parts.checks,
  ]
  const discover = discovery(parts.surface, parts.serverAddress)
  const api = openApi(() => parts.surface.current, version.gitVersion)

  async function documentV2(ctx: RequestContext): Promise<Answer> {
    const form = formOf(ctx.request.headers['accept'], 'v2')
    if (!form) return notAcceptable
    const { body, etag } = await (form === 'protobuf' ? api.v2Protobuf(pauses()) : api.v2(pauses()))
    return cached(ctx, body, etag, contentTypeOf('v2', form))
  }
  function document(ctx: RequestContext, segments: readonly string[]): Answer | Promise<Answer> | undefined {
    if (segments[1] === 'v2' && segments.length === 2) return documentV2(ctx)
    if (segments[1] !== 'v3') return undefined
    if (segments.length === 2) {
      const { body, etag } = api.index()
      return cached(ctx, body, etag, 'application/json')
    }
    const found = api.v3(segments.slice(2).join('/'))
    if (!found) return api.elsewhere(segments.slice(2).join('/'))?.serve(ctx)
    const form = formOf(ctx.request.headers['accept'], 'v3')
    if (!form) return notAcceptable
    const hash = ctx.request.query.get('hash')
    if (hash && hash !== found.hash) {
      // Whoever read the index before something changed.
      const location = `/${segments.join('/')}?hash=${found.hash}`
      return { code: 301, headers: { location, 'content-length': '0' }, body: Buffer.alloc(0) }
    }
    // Both forms have one hash. Protobuf, which hardly anybody asks for, is made anew for each.
    const body = form === 'json' ? found.body : encodeGnosticV3(JSON.parse(found.body.toString()) as object)
    const answer = cached(ctx, body, found.etag, contentTypeOf('v3', form))
    if (hash) {
      // A URL with the right hash never changes its content: it is kept for a year, which is as long as can be said.
      answer.headers['cache-control'] = 'public, immutable'
      answer.headers['expires'] = new Date(Date.now() + 365 * 86_400_000).toUTCString()
    }
    return answer
  }

  function serve(ctx: RequestContext, segments: readonly string[]): Answer | Promise<Answer> | undefined {
    switch (segments[0]) {
      case 'api':
      case 'apis':
        return discover(ctx, segments)
      case 'openapi':
        return document(ctx, segments)
      case '.well-known':
      case 'openid':
        return parts.issuer?.of(ctx.info.path)
      case 'version':
        return segments.length === 1 ? valueAnswer(200, version, { format: 'json', pretty: true }) : undefined
      case 'metrics':
        if (segments[1] === 'slis' && segments.length === 2) return slis()
        return segments.length === 1 ? prometheus(metrics) : undefined
      case undefined:
        return valueAnswer(200, { paths }, { format: 'json', pretty: true })
      default:
        return undefined
    }
  }
  const issuer = parts.issuer ? { first: [discoveryPath], last: [keysPath] } : { first: [], last: [] }
  const paths = [
    ...issuer.first,
    ...['/api', '/api/v1', '/apis', '/healthz', '/livez', '/metrics', '/metrics/slis', '/openapi/v2', '/openapi/v3'],
    ...issuer.last,
    ...['/readyz', '/version'],
  ]

  const answering = (ctx: RequestContext, segments: readonly string[]): Answer | Promise<Answer> | undefined => {
    const { method } = ctx.request
    const answer = serve(ctx, segments)
    if (answer !== undefined && method !== 'GET' && method !== 'HEAD') throw noSuchMethod()
    return answer
  }
  return ctx => {
    const segments = ctx.info.path.split('/').filter(s => s !== '')
    const [first = ''] = segments
    if (first === 'healthz' || first === 'livez' || first === 'readyz') {
      const health = healthText(first, segments.slice(1).join('/'), ctx.request.query, checks)
      return health ? textAnswer(health.code, health.text) : pageNotFound()
    }
    // What another server has said of custom kinds is so here, too.
    if ((first === 'apis' || first === 'openapi') && registry.healthy)
      return registry
        .fresh()
        .catch(() => {})
        .then(() => answering(ctx, segments) ?? pageNotFound())
    return answering(ctx, segments)
  }
}

async function slis(): Promise<Answer> {
  const { text, type } = await sliMetrics()
  return { code: 200, headers: { 'content-type': type }, body: Buffer.from(text) }
}

async function prometheus({ registry }: RequestMetrics): Promise<Answer> {
  return { code: 200, headers: { 'content-type': registry.contentType }, body: Buffer.from(await registry.metrics()) }
}
