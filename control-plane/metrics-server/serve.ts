/** The metrics server's HTTPS port: who asks is told by a front proxy, and what he may do by the API server (delegated authorization). */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { frontProxyUser, type FrontProxy } from '#control-plane/apiserver/authn/requestheader.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import type { Client, ListOptions } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { badRequest, forbidden, isNotFound, notFound, StatusError, unauthorized } from '#shared/machinery/status.ts'
import { documentOf } from './documents.ts'
import { nodeMetrics, podMetrics, type Scraper } from './scraper.ts'
import { apiVersion, group } from './types.ts'

export interface ServeParts {
  readonly client: Client
  readonly scraper: Scraper
  readonly cert: string
  readonly key: string
  readonly frontProxy: FrontProxy & { readonly authority: string }
  readonly log: Logger
}

const deadlineMs = 10_000
/** An answer of the API server is good for that long; so many are kept. */
const allowedMs = 10_000
const maxAllowed = 1_000

/** Listens on a free port of the address. */
export async function serveMetrics(address: string, parts: ServeParts): Promise<{ port: number; close(): void }> {
  const { cert, key, frontProxy, log } = parts
  const authorize = authorizer(parts.client)
  const server = createServer(
    {
      cert,
      key,
      ca: frontProxy.authority,
      requestCert: true,
      rejectUnauthorized: false,
      headersTimeout: deadlineMs,
      requestTimeout: deadlineMs,
    },
    (req, res) => {
      answer(req, parts, authorize).then(
        value => json(res, 200, value),
        (e: unknown) => {
          if (!(e instanceof StatusError)) log.warn({ err: e, path: req.url }, 'a request for metrics failed')
          const status = e instanceof StatusError ? e : new StatusError(500, 'InternalError', (e as Error).message)
          json(res, status.code, status.status)
        },
      )
    },
  )
  server.maxConnections = 1_000
  server.listen(0, address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function json(res: ServerResponse, code: number, value: unknown): void {
  if (res.destroyed) return
  const body = JSON.stringify(value)
  res.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  })
  res.end(body)
}

/** What a path asks for. */
interface Asked {
  readonly resource: 'nodes' | 'pods'
  readonly namespace: string
  readonly name: string
}

function askedOf(path: string): Asked | undefined {
  const [, namespace = '', resource, name = ''] =
    /^\/apis\/metrics\.k8s\.io\/v1beta1\/(?:namespaces\/([^/]+)\/)?(nodes|pods)(?:\/([^/]+))?\/?$/.exec(path) ?? []
  if (resource !== 'nodes' && resource !== 'pods') return undefined
  if (resource === 'nodes' ? namespace !== '' : namespace === '' && name !== '') return undefined
  return { resource, namespace: decodeURIComponent(namespace), name: decodeURIComponent(name) }
}

async function answer(req: IncomingMessage, parts: ServeParts, authorize: Authorize): Promise<object> {
  const url = new URL(req.url ?? '/', 'https://metrics')
  req.resume()
  const user = frontProxyUser(req.socket as TLSSocket, req.headers as ApiRequest['headers'], parts.frontProxy)
  if (typeof user !== 'object') throw unauthorized()
  if (req.method !== 'GET' && req.method !== 'HEAD')
    throw new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
  const document = documentOf(url.pathname)
  if (document) return document
  const asked = askedOf(url.pathname)
  if (!asked) throw new StatusError(404, 'NotFound', 'the server could not find the requested resource')
  if (['1', 'true'].includes(url.searchParams.get('watch') ?? ''))
    throw new StatusError(405, 'MethodNotAllowed', 'watch is not supported on resources of kind "metrics"')
  await authorize(user, asked)
  return asked.name === '' ? list(asked, url.searchParams, parts) : get(asked, parts)
}

const kinds: Readonly<Record<Asked['resource'], Kind<any>>> = { nodes, pods } // any: nothing but metadata is looked at

async function get({ resource, namespace, name }: Asked, { client, scraper }: ServeParts): Promise<object> {
  const kind = kinds[resource]
  const found = await client.list(kind, namespace, { metadataOnly: true, fieldSelector: `metadata.name=${name}` }).catch((e: unknown) => {
    if (isNotFound(e)) return { items: [] }
    throw e
  })
  const [object] = found.items as KubeObject[]
  const measured = object && ((await measure([object], resource, scraper))[0] as object | undefined)
  if (!measured) throw notFound({ group, resource: kind.plural }, namespace === '' ? name : `${namespace}/${name}`)
  return measured
}

async function list({ resource, namespace }: Asked, query: URLSearchParams, { client, scraper }: ServeParts): Promise<object> {
  const options: ListOptions = { metadataOnly: true }
  const [labelSelector, fieldSelector] = ['labelSelector', 'fieldSelector'].map(name => query.get(name) ?? '') as [string, string]
  if (fieldSelector !== '' && !/^metadata\.(name|namespace)==?[^,]+$/.test(fieldSelector))
    throw badRequest(`field label not supported: ${fieldSelector}`)
  const { items } = await client.list(kinds[resource], namespace, {
    ...options,
    ...(labelSelector ? { labelSelector } : {}),
    ...(fieldSelector ? { fieldSelector } : {}),
  })
  const kind = resource === 'nodes' ? 'NodeMetricsList' : 'PodMetricsList'
  return { kind, apiVersion, metadata: {}, items: await measure(items as KubeObject[], resource, scraper) }
}

/** What there is of the objects; those of which nothing is known yet are left out, as upstream. */
async function measure(objects: readonly KubeObject[], resource: Asked['resource'], scraper: Scraper): Promise<object[]> {
  const all = (): object[] =>
    objects.flatMap(({ metadata }): object[] => {
      const { name = '', namespace = '' } = metadata
      if (resource === 'nodes') {
        const sample = scraper.nodeOf(name)
        return sample ? [nodeMetrics(metadata, sample)] : []
      }
      const sample = scraper.podOf(namespace, name)
      return sample ? [podMetrics(metadata, sample)] : []
    })
  const known = all()
  if (known.length === objects.length) return known
  await scraper.missed()
  return all()
}

type Authorize = (user: UserInfo, asked: Asked) => Promise<void>

/** Asks the API server whether somebody may; throws 403. */
function authorizer(client: Client): Authorize {
  const allowed = new Map<string, number>()
  return async ({ name, groups, uid, extra }, { resource, namespace, name: object }) => {
    if (groups.includes('system:masters')) return
    const resourceAttributes = { group, version: 'v1beta1', resource, namespace, name: object, verb: object === '' ? 'list' : 'get' }
    const spec = { user: name, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}), resourceAttributes }
    const key = JSON.stringify(spec)
    if ((allowed.get(key) ?? 0) > performance.now()) return
    const { status } = await client.raw<{ status?: { allowed?: boolean; reason?: string } }>(
      'POST',
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec },
    )
    if (status?.allowed !== true) {
      const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`
      const what = `User ${JSON.stringify(name)} cannot ${resourceAttributes.verb} resource ${JSON.stringify(resource)}`
      throw forbidden({ group, resource }, object, `${what} in API group ${JSON.stringify(group)} ${where}`)
    }
    if (allowed.size >= maxAllowed) allowed.clear()
    allowed.set(key, performance.now() + allowedMs)
  }
}
