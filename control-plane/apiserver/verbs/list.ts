/** list: the stored JSON of the objects, joined; in parts when the client limits it, all parts from one version. */
import { omitHeader } from '#shared/client/omit.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { StatusError, badRequest, expired } from '#shared/machinery/status.ts'
import { pauses, type Pause } from '../chain/turn.ts'
import { acceptsGzip, deflated, encoded, gzipOf, gzipThreshold, type Deflated } from '../chain/gzip.ts'
import { rawJson, valueAnswer, type Answer } from '../chain/response.ts'
import { VersionExpired, type Registry, type Stored } from '../registry/registry.ts'
import { withoutManagedFields } from '../registry/stored.ts'
import { servedAll, servedJsonAll } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { listParameters, parseVersion, type ListParameters } from '../objects/options.ts'
import { selectionOf, type Selection } from '../objects/selection.ts'
import { outputOfObjects, writingOf, type Call } from './context.ts'
import { settle } from './get.ts'
import { isLean } from './jsonencoder.ts'
import { protobufList } from './protobuf.ts'
import type { PartialObjectMetadataList } from '../table/partial.ts'
import type { Table } from '../table/table.ts'
import { listAs } from './views.ts'

interface ListMeta {
  resourceVersion: string
  continue?: string
  remainingItemCount?: number
}
interface Part {
  items: readonly Stored[]
  meta: ListMeta
}

/** Where a limited list goes on: base64 of JSON, as upstream's, opaque to clients. */
interface ContinueToken {
  v: 'meta.k8s.io/v1'
  /** The version of the whole list; -1 goes on with the newest. */
  rv: number
  /** Namespace and name of the last item that was sent. */
  start: string
}
const tokenText = (token: ContinueToken): string => Buffer.from(JSON.stringify(token)).toString('base64url')
const encodeToken = (rv: number, last: Stored): string => tokenText({ v: 'meta.k8s.io/v1', rv, start: `${last.namespace}/${last.name}` })

function decodeToken(text: string): ContinueToken {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<ContinueToken>
    if (token.v === 'meta.k8s.io/v1' && Number.isSafeInteger(token.rv) && typeof token.start === 'string' && token.start.includes('/'))
      return token as ContinueToken
  } catch {
    // Falls through to the one error.
  }
  throw badRequest('continue key is not valid: incorrect encoded continue token')
}

const tooOldToContinue =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the ' +
  'continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects ' +
  'that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.'

export async function listObjects(call: Call): Promise<Answer> {
  const output = outputOfObjects(call)
  const { endpoint, request } = call
  const p = listParameters(request.query, false)
  const selection = selectionOf(endpoint, p.labelSelector, p.fieldSelector)
  const { items, meta } = await listPart(call.store.registry, endpoint, call.info.namespace, p, selection)
  const writing = writingOf(call, output)
  if (output.as !== '') {
    const view = (part: readonly Stored[]) => listAs(endpoint, part, meta, output, request.query)
    if (writing.format !== 'json' || writing.pretty || items.length <= slice) return valueAnswer(200, await view(items), writing)
    const parts = inSlices(view, items, pauses())
    return rawJson(200, items.length > longView ? parts : Buffer.concat(await Array.fromAsync(parts)))
  }
  if (writing.format === 'protobuf') return protobufList(endpoint, items, meta)
  if (writing.format === 'json' && !writing.pretty)
    return jsonList(endpoint, items, meta, acceptsGzip(request), isLean(endpoint, request.headers[omitHeader]))
  return valueAnswer(200, await plainList(endpoint, items, meta), writing)
}

/** A list as a value. */
export async function plainList(endpoint: Endpoint, items: readonly Stored[], metadata: object): Promise<object> {
  const objects = await servedAll(endpoint, items)
  const plain = endpoint.resource.structural ? objects : objects.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest)
  return { kind: endpoint.listKind, apiVersion: endpoint.apiVersion, metadata, items: plain }
}

/** Others may go on after so many objects: shown in a view, or looked at. */
const slice = 100
const looks = 250
/** A view of more is sent while it is made. */
const longView = 1000

/** A long list in a view, so that few of its objects are parsed at a time. The rows or items are the last member of its JSON. */
async function* inSlices(
  view: (part: readonly Stored[]) => Maybe<Table | PartialObjectMetadataList>,
  items: readonly Stored[],
  pause: Pause,
) {
  for (let at = 0; at < items.length; at += slice) {
    await pause()
    const part = await view(items.slice(at, at + slice))
    const text = at === 0 ? JSON.stringify(part) : `,${JSON.stringify('rows' in part ? part.rows : part.items).slice(1)}`
    yield Buffer.from(at === 0 ? text.slice(0, -2) : text.slice(0, -1))
  }
  yield close
}

/** The items that a list request asks for. Throws 400, 410, 504. */
export async function listPart(
  registry: Registry,
  endpoint: Endpoint,
  namespace: string,
  p: ListParameters,
  selection: Selection,
): Promise<Part> {
  const within = namespace === '' ? undefined : namespace
  if (p.continue !== '') return continued(registry, endpoint, within, p, selection)
  const exact =
    p.resourceVersionMatch === 'Exact' ||
    (p.resourceVersionMatch === '' && p.limit > 0 && p.resourceVersion !== '' && p.resourceVersion !== '0')
  await settle(registry, p.resourceVersion)
  if (exact) {
    const version = parseVersion(p.resourceVersion)
    return part(at(registry, version, endpoint, within), version, p, selection)
  }
  const { version } = registry
  if (selection.name !== undefined && within !== undefined) {
    const one = registry.get(endpoint.table, within, selection.name)
    return part(one ? [one] : [], version, p, selection)
  }
  // Upstream's watch cache gives the whole list to those who take any version.
  const items = registry.list(endpoint.table, within, selection.index)
  const parameters = p.resourceVersion === '0' ? { ...p, limit: 0 } : p
  return begun(registry, endpoint, within, selection.index ? undefined : items, part(items, version, parameters, selection))
}

/** A part of the newest list: the whole, as it was in that moment, is kept for the next part. */
async function begun(
  registry: Registry,
  { table }: Endpoint,
  namespace: string | undefined,
  all: readonly Stored[] | undefined,
  looking: Promise<Part>,
): Promise<Part> {
  const found = await looking
  if (found.meta.continue !== undefined) registry.listAt(Number(found.meta.resourceVersion), table, namespace, all)
  return found
}

function at(registry: Registry, version: number, endpoint: Endpoint, namespace: string | undefined): readonly Stored[] {
  try {
    return registry.listAt(version, endpoint.table, namespace)
  } catch (e) {
    if (e instanceof VersionExpired) throw expired('The resourceVersion for the provided list is too old.')
    throw e
  }
}

async function continued(
  registry: Registry,
  endpoint: Endpoint,
  namespace: string | undefined,
  p: ListParameters,
  selection: Selection,
): Promise<Part> {
  if (p.resourceVersion !== '' && p.resourceVersion !== '0')
    throw badRequest('specifying resource version is not allowed when using continue')
  const token = decodeToken(p.continue)
  const after = token.start
  if (token.rv < 0) {
    await registry.fresh()
    const items = registry.list(endpoint.table, namespace)
    return begun(registry, endpoint, namespace, items, part(items, registry.version, p, selection, firstAfter(items, after)))
  }
  // Another server's token may be ahead of this one's cache.
  await settle(registry, String(token.rv))
  let items: readonly Stored[]
  try {
    items = registry.listAt(token.rv, endpoint.table, namespace)
  } catch (e) {
    if (!(e instanceof VersionExpired)) throw e
    const failure = expired(tooOldToContinue)
    failure.status.metadata.continue = tokenText({ ...token, rv: -1 })
    throw failure
  }
  return part(items, token.rv, p, selection, firstAfter(items, after))
}

/** The index of the first item after `namespace/name`, by binary search in the registry's order. */
function firstAfter(items: readonly Stored[], key: string): number {
  const slash = key.indexOf('/')
  const namespace = key.slice(0, slash)
  const name = key.slice(slash + 1)
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >> 1
    const s = items[middle]!
    if (s.namespace < namespace || (s.namespace === namespace && s.name <= name)) low = middle + 1
    else high = middle
  }
  return low
}

/** The items of `all` from an index on that are selected, as many as are wanted. Others may go on while many are looked at. */
async function part(all: readonly Stored[], version: number, p: ListParameters, { matches, ready }: Selection, from = 0): Promise<Part> {
  const meta: ListMeta = { resourceVersion: String(version) }
  const most = p.limit || Infinity
  if (!matches) {
    const items = from === 0 && most >= all.length ? all : all.slice(from, Math.min(all.length, from + most))
    const left = all.length - from - items.length
    return left <= 0
      ? { items, meta }
      : { items, meta: { ...meta, continue: encodeToken(version, items.at(-1)!), remainingItemCount: left } }
  }
  const pause = pauses()
  const items: Stored[] = []
  for (let at = from; at < all.length && items.length <= most; at++) {
    const stored = all[at]!
    if (ready && (at - from) % looks === 0) await ready(all.slice(at, at + looks))
    if (matches(stored)) items.push(stored)
    if ((at - from) % looks === looks - 1) await pause()
  }
  // One more than wanted: of those that are left nothing else is known.
  if (items.length > most) {
    items.pop()
    meta.continue = encodeToken(version, items.at(-1)!)
  }
  return { items, meta }
}

// What fits into a cache of the processor is copied, and encrypted, at half the price.
const pieceBytes = 1 << 17
const none = Buffer.alloc(0)
const open = Buffer.from('{')
const comma = Buffer.from(',')
const close = Buffer.from(']}')

/** The JSON of an item in parts; the first part begins with kind and apiVersion. */
type ItemJson = (stored: Stored, index: number) => readonly Buffer[]
const storedItem: ItemJson = stored => [stored.json]
const convertedItem =
  (jsons: readonly Buffer[]): ItemJson =>
  (_, i) => [jsons[i]!]

/** The list as bytes; a long one in pieces, so that nothing is held twice. `lean` items have no managedFields. */
async function jsonList(endpoint: Endpoint, items: readonly Stored[], meta: ListMeta, gzip: boolean, lean: boolean): Promise<Answer> {
  const start = Buffer.from(
    `{"kind":"${endpoint.listKind}","apiVersion":"${endpoint.apiVersion}","metadata":${JSON.stringify(meta)},"items":[`,
  )
  const json = lean ? withoutManagedFields : endpoint.sole ? storedItem : convertedItem(await servedJsonAll(endpoint, items))
  let total = start.length
  for (const s of items) total += s.json.length
  if (gzip && !lean && total > gzipThreshold) return encoded(rawJson(200, gzipOf(start, await deflatedItems(endpoint, items, json))))
  if (total > pieceBytes) return rawJson(200, pieces(endpoint, start, items, json))
  return rawJson(200, joined(endpoint, start, items, json))
}

// The registry hands out the same list until one of its objects changes; only the version at its beginning is another each time.
const compressedItems = new WeakMap<Endpoint, WeakMap<readonly Stored[], Promise<Deflated>>>()
function deflatedItems(endpoint: Endpoint, items: readonly Stored[], json: ItemJson): Promise<Deflated> {
  let lists = compressedItems.get(endpoint)
  if (!lists) compressedItems.set(endpoint, (lists = new WeakMap()))
  let work = lists.get(items)
  if (!work) lists.set(items, (work = deflated(pieces(endpoint, none, items, json))))
  return work
}

/** Adds one item to the parts of a list; returns its size. */
function addItem(parts: Buffer[], endpoint: Endpoint, json: readonly Buffer[], first: boolean): number {
  if (!first) parts.push(comma)
  const beginning = itemOf(endpoint, json[0]!)
  let size = beginning.length
  parts.push(open, beginning)
  for (let i = 1; i < json.length; i++) {
    parts.push(json[i]!)
    size += json[i]!.length
  }
  return size
}

function joined(endpoint: Endpoint, start: Buffer, items: readonly Stored[], json: ItemJson): Buffer {
  const parts: Buffer[] = [start]
  items.forEach((s, i) => addItem(parts, endpoint, json(s, i), i === 0))
  parts.push(close)
  return Buffer.concat(parts)
}

async function* pieces(endpoint: Endpoint, start: Buffer, items: readonly Stored[], json: ItemJson): AsyncIterable<Uint8Array> {
  let parts: Buffer[] = [start]
  let size = 0
  for (const [i, s] of items.entries()) {
    size += addItem(parts, endpoint, json(s, i), i === 0)
    if (size > pieceBytes) {
      yield Buffer.concat(parts)
      parts = []
      size = 0
    }
  }
  parts.push(close)
  yield Buffer.concat(parts)
}

/** The JSON of an object in a list, without the opening brace: items say what they are in lists of custom kinds only, as upstream's. */
function itemOf(endpoint: Endpoint, json: Buffer): Buffer {
  if (endpoint.resource.structural) return json.subarray(1)
  const { head } = endpoint
  if (head.compare(json, 0, head.length) === 0) return json.subarray(head.length)
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = parseJson(json.toString()) as { kind: string; apiVersion: string }
  return Buffer.from(JSON.stringify(rest)).subarray(1)
}
