/**
 * watch: events as lines of JSON. The bytes of an object are shared by all who watch it; who does not read is dropped at bounded memory.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { managedFields, omitHeader } from '#shared/client/omit.ts'
import { expired, type Status } from '#shared/machinery/status.ts'
import type { Output } from '../chain/mediatype.ts'
import type { Answer } from '../chain/response.ts'
import { VersionExpired, type Registry, type RegistryEvent, type Stored, type WatchOptions } from '../registry/registry.ts'
import { restamped, withoutManagedFields } from '../registry/stored.ts'
import { served, servedJson, type Endpoint } from '../objects/endpoint.ts'
import { listParameters, parseVersion, type ListParameters } from '../objects/options.ts'
import { selectionOf, type Selection } from '../objects/selection.ts'
import { outputOf, type Call } from './context.ts'
import { settle } from './get.ts'
import { EventStream } from './eventstream.ts'
import { protobufEncoder } from './protobuf.ts'
import { bookmarkObject, objectAs } from './views.ts'

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

/** Upstream ends a watch without a timeout after 30 to 60 minutes, at random so that clients do not come back together. */
const defaultTimeoutSeconds = (): number => Math.floor(1800 * (1 + Math.random()))
/** A bookmark at most this often. */
const bookmarkEveryMs = 10_000

const heads: Readonly<Record<EventType, Buffer>> = { ADDED: headOf('ADDED'), MODIFIED: headOf('MODIFIED'), DELETED: headOf('DELETED') }
function headOf(type: EventType): Buffer {
  return Buffer.from(`{"type":"${type}","object":`)
}
const tail = Buffer.from('}\n')
/** One event in parts: the object's bytes are those of the store, the same for all watchers. */
const line = (type: EventType, ...json: readonly Buffer[]): readonly Buffer[] => [heads[type], ...json, tail]

/** What becomes of an event for one who sees only part of the objects. */
function seen({ matches }: Selection, event: RegistryEvent): { type: EventType; stored: Stored } | undefined {
  if (!matches) return event
  const before = event.previous !== undefined && matches(event.previous)
  const after = event.type !== 'DELETED' && matches(event.stored)
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', stored: event.stored }
  if (!before) return undefined
  // Leaving: the object as it was seen last, with the version at which it left.
  return { type: 'DELETED', stored: event.type === 'DELETED' ? event.stored : restamped(event.previous!, event.version) }
}

/** Encodes events for one watch. */
export interface Encoder {
  readonly contentType: string
  event(event: RegistryEvent): readonly Buffer[] | undefined
  initial(stored: Stored): readonly Buffer[]
  bookmark(version: number, initialEventsEnd: boolean): readonly Buffer[]
  error(status: Status): readonly Buffer[]
}

/** `omit` is what the client named in the header of that name: components have no use for managedFields, a third of most objects. */
function encoder(endpoint: Endpoint, selection: Selection, output: Output, query: URLSearchParams, omit: string | undefined): Encoder {
  if (output.format === 'protobuf') return protobufEncoder(endpoint, event => seen(selection, event), output, query)
  const contentType = 'application/json'
  const text = (type: string, object: object): readonly Buffer[] => [Buffer.from(`${JSON.stringify({ type, object })}\n`)]
  const error = (status: Status): readonly Buffer[] => text('ERROR', status)
  if (output.as === '') {
    const json = omit === managedFields && !endpoint.alternate ? withoutManagedFields : (stored: Stored) => [servedJson(endpoint, stored)]
    return {
      contentType,
      error,
      event(event) {
        const s = seen(selection, event)
        return s && line(s.type, ...json(s.stored))
      },
      initial: stored => line('ADDED', ...json(stored)),
      bookmark: (version, end) => text('BOOKMARK', bookmarkObject(endpoint, version, end)),
    }
  }
  // Only the first table of a watch has its column definitions.
  let first = true
  const view = (type: string, object: KubeObject): readonly Buffer[] => {
    const value = objectAs(endpoint, object, output, query, first)
    first = false
    return text(type, value)
  }
  return {
    contentType,
    error,
    event(event) {
      const s = seen(selection, event)
      return s && view(s.type, served(endpoint, s.stored))
    },
    initial: stored => view('ADDED', served(endpoint, stored)),
    bookmark: (version, end) => {
      const object = bookmarkObject(endpoint, version, end)
      if (output.as !== 'Table')
        return text('BOOKMARK', { ...object, kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${output.version}` })
      // A table of no rows would hide the version: upstream shows the bookmark's object in a row.
      const apiVersion = `meta.k8s.io/${output.version}`
      const row = { cells: [], object: { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata } }
      return text('BOOKMARK', {
        kind: 'Table',
        apiVersion,
        metadata: { resourceVersion: String(version) },
        columnDefinitions: null,
        rows: [row],
      })
    },
  }
}

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

export async function watchObjects(call: Call): Promise<Answer> {
  const { endpoint, info, request, store } = call
  const output = outputOf(call)
  const p = listParameters(request.query, true)
  const selection = selectionOf(endpoint, p.labelSelector, p.fieldSelector, info.name)
  const start = await startOf(store.registry, p)
  const stream = new EventStream()
  const encode = encoder(endpoint, selection, output, request.query, request.headers[omitHeader])
  const namespace = info.namespace === '' ? undefined : info.namespace
  const answer: Answer = { code: 200, headers: { 'content-type': encode.contentType }, body: stream }
  const { registry } = store
  // From here to the registration nothing waits, so that no event is lost or sent twice.
  const after = start.after ?? registry.version
  if (start.initial) {
    for (const stored of initialObjects(registry, endpoint, namespace, selection)) stream.push(encode.initial(stored), false)
    if (p.sendInitialEvents === true && p.allowWatchBookmarks) stream.push(encode.bookmark(after, true), false)
  }
  let lastBookmark = Date.now()
  let passed = after
  let stop: () => void = () => {}
  try {
    stop = registry.watch(endpoint.table, watchOptions(after, namespace, selection), {
      events(events) {
        for (const event of events) {
          const bytes = encode.event(event)
          if (bytes) stream.push(bytes)
        }
        passed = events.at(-1)!.version
      },
      progress(version) {
        passed = version
        if (!p.allowWatchBookmarks || Date.now() - lastBookmark < bookmarkEveryMs) return
        lastBookmark = Date.now()
        stream.push(encode.bookmark(version, false))
      },
      expired() {
        stream.push(encode.error(expired('The resourceVersion for the provided watch is too old.').status))
        stream.end()
      },
    })
  } catch (e) {
    if (!(e instanceof VersionExpired)) throw e
    stream.push(encode.error(expired(e.message).status), false)
    stream.end()
    return answer
  }
  const seconds = p.timeoutSeconds !== undefined && p.timeoutSeconds > 0 ? p.timeoutSeconds : defaultTimeoutSeconds()
  const timer = setTimeout(
    () => {
      if (p.allowWatchBookmarks) stream.push(encode.bookmark(passed, false))
      stream.end()
    },
    Math.min(seconds, 86_400) * 1000,
  )
  timer.unref()
  stream.onClose(() => {
    clearTimeout(timer)
    stop()
  })
  request.signal.addEventListener('abort', () => stream.drop(), { once: true })
  if (request.signal.aborted) stream.drop()
  return answer
}

const watchOptions = (after: number, namespace: string | undefined, { name, index }: Selection): WatchOptions => ({
  after,
  ...(namespace === undefined ? {} : { namespace }),
  ...(name === undefined ? {} : { name }),
  ...(index ? { index } : {}),
})

function initialObjects(registry: Registry, endpoint: Endpoint, namespace: string | undefined, selection: Selection): readonly Stored[] {
  if (selection.name !== undefined && namespace !== undefined) {
    const one = registry.get(endpoint.table, namespace, selection.name)
    return one && selection.matches!(one) ? [one] : []
  }
  const all = registry.list(endpoint.table, namespace)
  return selection.matches ? all.filter(selection.matches) : all
}
