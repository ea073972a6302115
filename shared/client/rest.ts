/** The client of client.ts over any Transport: paths, options, decoding of answers and of watch streams. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import { apiVersion, type Kind } from '../api/resource.ts'
import type { ApiResponse, Transport } from '../bus/transport.ts'
import { StatusError, type Status } from '../machinery/status.ts'
import { managedFields, omitHeader } from './omit.ts'
import { failureOf, statusIn } from './serverresponse.ts'
import type { Client, DeleteOptions, List, ListOptions, PatchType, RawOptions, WatchEvent, WatchOptions } from './client.ts'

export interface ClientSettings {
  /** Who writes: its part before the first `/` becomes the field manager. */
  userAgent?: string
  /** Deadline of one request in ms. */
  timeoutMs?: number
  /** As whose user it asks, when that is another's. */
  impersonate?: string
}

/** A client that can ask as others, if its user may. */
export interface RestClient extends Client {
  /** The same client, as another user. */
  as(user: string): Client
}

const contentTypes: Record<PatchType, string> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}
const partial = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json`

/** The path of a collection, an object or a subresource of it. */
export function pathOf(
  kind: Pick<Kind, 'group' | 'version' | 'plural' | 'namespaced'>,
  namespace: string,
  name = '',
  subresource = '',
): string {
  const root = kind.group ? `/apis/${kind.group}/${kind.version}` : `/api/${kind.version}`
  const parts = [root, ...(kind.namespaced && namespace ? ['namespaces', encodeURIComponent(namespace)] : []), kind.plural]
  if (name) parts.push(encodeURIComponent(name))
  if (subresource) parts.push(subresource)
  return parts.join('/')
}

/** Options that are headers, or not for the server at all. */
const notInQuery = new Set(['metadataOnly', 'omitManagedFields', 'onAlive'])
function queryOf(options: object): URLSearchParams {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(options))
    if (value !== undefined && value !== '' && !notInQuery.has(key)) query.set(key, String(value))
  return query
}

/** The options that are headers; `view` is what metadata alone comes as. */
const headersOf = (options: ListOptions, view: string): Record<string, string> => ({
  ...(options.metadataOnly ? { accept: partial(view) } : {}),
  ...(options.omitManagedFields ? { [omitHeader]: managedFields } : {}),
})

async function whole(body: ApiResponse['body']): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

/**
 * The error that a failed answer stands for. That a path is not served is no word about an object, whose dependents would be collected: only
 * what a Status calls so is NotFound.
 */
async function failure(method: string, path: string, { code, body }: ApiResponse): Promise<StatusError> {
  const text = (await whole(body)).toString()
  const error = failureOf(method, code, text, path)
  return code === 404 && !statusIn(text) ? new StatusError(code, 'Unknown', error.message) : error
}

/** Complete lines of a byte stream, without the newline. A zero-length piece is a sign of life and gives an empty line. */
async function* lines(body: ApiResponse['body']): AsyncGenerator<string> {
  let rest: Buffer[] = []
  const pieces = body instanceof Uint8Array ? [body] : body
  for await (const piece of pieces) {
    if (piece.length === 0) yield ''
    let buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    for (let end = buffer.indexOf(10); end >= 0; end = buffer.indexOf(10)) {
      const line = rest.length ? Buffer.concat([...rest, buffer.subarray(0, end)]).toString() : buffer.toString('utf8', 0, end)
      rest = []
      buffer = buffer.subarray(end + 1)
      yield line
    }
    // Copied: a transport may reuse its buffer.
    if (buffer.length) rest.push(Buffer.from(buffer))
  }
  if (rest.length) yield Buffer.concat(rest).toString()
}

/** Makes the client. Failed answers reject with StatusError; when no answer could be had, with the transport's Error. */
export function newClient(transport: Transport, settings: ClientSettings = {}): RestClient {
  const userAgent = settings.userAgent ?? 'coxswain'
  const timeoutMs = settings.timeoutMs ?? 30_000
  const own = {
    accept: 'application/json',
    'user-agent': userAgent,
    ...(settings.impersonate === undefined ? {} : { 'impersonate-user': settings.impersonate }),
  }

  async function send(
    method: string,
    path: string,
    query: URLSearchParams,
    body?: unknown,
    headers: Record<string, string> = {},
    withinMs = timeoutMs,
  ): Promise<ApiResponse> {
    const response = await transport.request({
      method,
      path,
      query,
      headers: {
        ...own,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(body)),
      timeoutMs: withinMs,
    })
    if (response.code >= 400) throw await failure(method, path, response)
    return response
  }
  async function call<R>(
    method: string,
    path: string,
    query = new URLSearchParams(),
    body?: unknown,
    headers?: Record<string, string>,
    withinMs?: number,
  ): Promise<R> {
    const bytes = await whole((await send(method, path, query, body, headers, withinMs)).body)
    return (bytes.length ? JSON.parse(bytes.toString()) : undefined) as R
  }
  /** Items of a list carry no type of their own; metadata-only objects carry another's. */
  const typed = <T>(kind: Kind<T>, object: T): T =>
    Object.assign({ apiVersion: '', kind: '' }, object, { apiVersion: apiVersion(kind), kind: kind.kind })

  async function* watch<T>(kind: Kind<T>, namespace: string, options: WatchOptions, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    try {
      const query = queryOf({ ...options, watch: true })
      const path = pathOf(kind, namespace)
      const response = await transport.request({
        method: 'GET',
        path,
        query,
        headers: {
          ...own,
          ...headersOf(options, 'PartialObjectMetadata'),
        },
        body: new Uint8Array(),
        signal,
      })
      if (response.code >= 400) throw await failure('GET', path, response)
      for await (const line of lines(response.body)) {
        if (signal.aborted) return
        if (line === '') {
          options.onAlive?.()
          continue
        }
        const event = JSON.parse(line) as WatchEvent<T> | { type: 'ERROR'; object: Partial<Status> }
        if (event.type === 'ERROR') throw StatusError.from(event.object, event.object.code ?? 500)
        if (event.type !== 'BOOKMARK' && options.metadataOnly) event.object = typed(kind, event.object)
        yield event
      }
    } catch (e) {
      if (!signal.aborted) throw e
    }
  }

  return {
    as: user => newClient(transport, { ...settings, impersonate: user }),
    get: <T>(kind: Kind<T>, namespace: string, name: string) => call<T>('GET', pathOf(kind, namespace, name)),
    async list<T>(kind: Kind<T>, namespace: string, options: ListOptions = {}): Promise<List<T>> {
      const headers = headersOf(options, 'PartialObjectMetadataList')
      const list = await call<List<T>>('GET', pathOf(kind, namespace), queryOf(options), undefined, headers)
      return { metadata: list.metadata ?? {}, items: (list.items ?? []).map(item => typed(kind, item)) }
    },
    watch: watch as Client['watch'],
    create: <T>(kind: Kind<T>, namespace: string, object: T) => call<T>('POST', pathOf(kind, namespace), undefined, typed(kind, object)),
    update: <T>(kind: Kind<T>, object: T, subresource?: string) => {
      const { namespace = '', name = '' } = (object as KubeObject).metadata
      return call<T>('PUT', pathOf(kind, namespace, name, subresource), undefined, typed(kind, object))
    },
    patch: <T>(kind: Kind<T>, namespace: string, name: string, type: PatchType, patch: unknown, subresource?: string) => {
      const query = type === 'apply' ? queryOf({ fieldManager: userAgent.split('/')[0], force: true }) : undefined
      return call<T>('PATCH', pathOf(kind, namespace, name, subresource), query, patch, { 'content-type': contentTypes[type] })
    },
    async delete(kind: Kind, namespace: string, name: string, options?: DeleteOptions): Promise<void> {
      await call('DELETE', pathOf(kind, namespace, name), undefined, { apiVersion: 'v1', kind: 'DeleteOptions', ...options })
    },
    async deleteCollection(kind, namespace, options = {}): Promise<void> {
      const { labelSelector, fieldSelector, ...rest } = options
      await call('DELETE', pathOf(kind, namespace), queryOf({ labelSelector, fieldSelector }), {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...rest,
      })
    },
    post: <R>(kind: Kind, namespace: string, name: string, subresource: string, body: unknown) =>
      call<R>('POST', pathOf(kind, namespace, name, subresource), undefined, body),
    raw<R>(method: string, path: string, body?: unknown, options: RawOptions = {}): Promise<R> {
      const [bare = '', query = ''] = path.split('?', 2)
      return call<R>(
        method,
        bare,
        new URLSearchParams(query),
        body,
        options.accept ? { accept: options.accept } : undefined,
        options.timeoutMs,
      )
    },
  }
}
