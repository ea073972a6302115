/** watch: a cursor over the history of a table, as a stream of events. */
import { omitHeader } from '#shared/client/omit.ts'
import { StatusError, expired } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { pauses } from '../chain/turn.ts'
import { VersionExpired, type Registry, type Stored, type WatchOptions } from '../registry/registry.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { listParameters, parseVersion, type ListParameters } from '../objects/options.ts'
import { selectionOf, type Selection } from '../objects/selection.ts'
import { outputOfObjects, type Call } from './context.ts'
import type { Encoder } from './encoder.ts'
import { EventStream } from './eventstream.ts'
import { settle } from './get.ts'
import { jsonEncoder, viewEncoder } from './jsonencoder.ts'
import { protobufEncoder } from './protobuf.ts'
import { checkView } from './views.ts'

/** Upstream ends a watch without a timeout after 30 to 60 minutes, at random so that clients do not come back together. */
const defaultTimeoutSeconds = (): number => Math.floor(1800 * (1 + Math.random()))

/** Where a watch starts: after a version, with or without what is there at first. */
async function startOf(registry: Registry, p: ListParameters): Promise<{ after?: number; initial: boolean }> {
  const version = parseVersion(p.resourceVersion)
  if (p.sendInitialEvents === true) {
    await settle(registry, p.resourceVersion)
    return { initial: true }
  }
  if (version === 0) {
    // Any version will do for `0`; for none the newest is wanted.
    if (p.resourceVersion === '') await registry.fresh()
    return { initial: p.sendInitialEvents !== false }
  }
  await settle(registry, p.resourceVersion)
  return { after: version, initial: false }
}

/** Documents of YAML have no end that a reader of a stream would know. */
const notStreamed = ({ codec }: Endpoint): StatusError => {
  const types = ['application/json', ...(codec.protobuf ? ['application/vnd.kubernetes.protobuf'] : [])]
  const list = types.map(type => `${type};stream=watch`).join(', ')
  return new StatusError(406, 'NotAcceptable', `only the following media types are accepted: ${list}`)
}

/** Throws 406 or 400 when what the client accepts is nothing that a watch can show. */
function encoderOf(call: Call): Encoder {
  const { endpoint, request } = call
  const output = outputOfObjects(call)
  if (output.format === 'yaml') throw notStreamed(endpoint)
  checkView(output, request.query)
  if (output.format === 'protobuf') return protobufEncoder(endpoint, output, request.query)
  return output.as === '' ? jsonEncoder(endpoint, request.headers[omitHeader]) : viewEncoder(endpoint, output, request.query)
}

export async function watchObjects(call: Call): Promise<Answer> {
  const { endpoint, info, request, store } = call
  const { registry } = store
  const p = listParameters(request.query, true)
  const selection = selectionOf(endpoint, p.labelSelector, p.fieldSelector, info.name)
  const encoder = encoderOf(call)
  const start = await startOf(registry, p)
  const namespace = info.namespace === '' ? undefined : info.namespace
  const headers = { 'content-type': encoder.contentType }
  if (start.initial) await selection.ready?.(initialObjects(registry, endpoint, namespace, selection))
  // From here on nothing waits, so that no event is lost or sent twice.
  const after = start.after ?? registry.version
  const seconds = p.timeoutSeconds !== undefined && p.timeoutSeconds > 0 ? p.timeoutSeconds : defaultTimeoutSeconds()
  try {
    const stream = new EventStream({
      begin: owner => registry.cursor(endpoint.table, watchOptions(after, namespace, selection), owner),
      encoder,
      matches: selection.matches,
      ready: selection.ready,
      initial: start.initial ? initialObjects(registry, endpoint, namespace, selection) : [],
      initialEventsEnd: start.initial && p.sendInitialEvents === true && p.allowWatchBookmarks ? after : undefined,
      bookmarkEveryMs: p.allowWatchBookmarks ? bookmarkEveryMs(selection) : undefined,
      lastsMs: Math.min(seconds, 86_400) * 1000,
      lifetime: endpoint.lifetime,
      pause: pauses(),
      failed: e => store.log.warn({ err: e, path: request.path }, 'an object could not be shown to a watch'),
    })
    request.signal.addEventListener('abort', () => stream.drop(), { once: true })
    if (request.signal.aborted) stream.drop()
    return { code: 200, headers, body: stream }
  } catch (e) {
    if (!(e instanceof VersionExpired)) throw e
    return { code: 200, headers, body: oneEvent(encoder.error(expired(e.message).status)) }
  }
}

/** A watch that has ended when it begins. */
async function* oneEvent(parts: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  yield Buffer.concat(parts)
}

/**
 * Upstream's come about every minute. Watches of one object, or of one node's, are those of thousands of kubelets: while nothing happens
 * their bookmarks are much of what a large cluster costs.
 */
const bookmarkEveryMs = ({ name, index }: Selection): number => (name !== undefined || index ? 30_000 : 10_000)

const watchOptions = (after: number, namespace: string | undefined, { name, index }: Selection): WatchOptions => ({
  after,
  ...(namespace === undefined ? {} : { namespace }),
  ...(name === undefined ? {} : { name }),
  ...(index ? { index } : {}),
})

/** What is there now and may be selected. */
function initialObjects(registry: Registry, endpoint: Endpoint, namespace: string | undefined, selection: Selection): readonly Stored[] {
  if (selection.name === undefined || namespace === undefined) return registry.list(endpoint.table, namespace, selection.index)
  const one = registry.get(endpoint.table, namespace, selection.name)
  return one ? [one] : []
}
