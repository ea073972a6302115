/**
 * The OpenAPI documents as they are served: made when first asked for, then kept as bytes as long as the kinds that they describe are
 * served.
 */
import { createHash } from 'node:crypto'
import type { Resource } from '#shared/api/resource.ts'
import type { Pause } from '../chain/turn.ts'
import type { Proxied, Serving } from '../surface.ts'
import { withoutConflicts } from './foreign.ts'
import { groupVersions, sameSubjects, type GroupVersion } from './types.ts'
import { gnosticV2, jsonV2, partV2, type PartV2 } from './v2.ts'
import { openApiV3 } from './v3.ts'

export interface Document {
  readonly body: Buffer
  /** SHA-512 in upper-case hex: the `hash` parameter of the URL in the index. */
  readonly hash: string
  /** For the ETag header, quotes included. */
  readonly etag: string
}
export interface OpenApi {
  /** `/openapi/v3`: where the documents are, with their hashes. */
  index(): Document
  /** `/openapi/v3/PATH` for a path of the index (`api/v1`, `apis/apps/v1`); undefined for any other, and what another server has. */
  v3(path: string): Document | undefined
  /** The server that has `/openapi/v3/PATH`. */
  elsewhere(path: string): Proxied | undefined
  /** `/openapi/v2` as JSON. With hundreds of custom kinds it takes seconds to make, in which others go on. */
  v2(pause: Pause): Promise<Document>
  /** `/openapi/v2` as protobuf. */
  v2Protobuf(pause: Pause): Promise<Document>
}

const pathOf = (gv: GroupVersion): string => (gv.group === '' ? `api/${gv.version}` : `apis/${gv.group}/${gv.version}`)

const json = (document: object): Buffer => Buffer.from(JSON.stringify(document))

function encode(body: Buffer): Document {
  const hash = createHash('sha512').update(body).digest('hex').toUpperCase()
  return { body, hash, etag: `"${hash}"` }
}

/** A document from its pieces. */
async function inSlices(pieces: Iterable<Buffer>, pause: Pause): Promise<Document> {
  const digest = createHash('sha512')
  const all: Buffer[] = []
  for (const piece of pieces) {
    all.push(piece)
    digest.update(piece)
    await pause()
  }
  const hash = digest.digest('hex').toUpperCase()
  return { body: Buffer.concat(all), hash, etag: `"${hash}"` }
}

/** How withoutConflicts names types anew. */
const renamed = /_v\d+$/

const others = new WeakMap<Buffer, Document>()
/** A document of another server that was made here. */
function ofOther(document: Buffer): Document {
  const known = others.get(document)
  if (known) return known
  const made = encode(document)
  others.set(document, made)
  return made
}

/** A group version with what was made of it. */
interface Described {
  readonly gv: GroupVersion
  /** Of the document of a group version that has custom kinds only: it need not be made to be named. */
  readonly digest: string | undefined
  v3?: Document
  v2?: PartV2
}

/** What is described; the same object as long as it is the same. */
export type DescribedServing = Pick<Serving, 'proxied'> & { readonly resources: readonly Resource[] }

/**
 * Documents of custom kinds are kept as far as this goes, those that were asked for last: there may be any number of them. So is each of
 * version 2.
 */
const mostBytes = 16 << 20

/** A digest of what a document will say, in place of that of what it says; undefined when some kind has none. */
function digestOf({ subjects }: GroupVersion, serverVersion: string): string | undefined {
  const hash = createHash('sha512').update(serverVersion)
  for (const { resource, version } of subjects) {
    if (resource.digest === undefined) return undefined
    hash.update(`\n${version}/${resource.plural}/${resource.digest}`)
  }
  return hash.digest('hex').toUpperCase()
}

/** `serving` gives what is served now. `serverVersion` is what `/version` says, `v1.35.0`. */
export function openApi(serving: () => DescribedServing, serverVersion: string): OpenApi {
  let served: DescribedServing | undefined
  let byPath = new Map<string, Described>()
  // Of everything together: these are made again after each change.
  let whole: { index?: Document; v2?: Promise<Document>; v2Protobuf?: Promise<Document> } = {}
  /** Those with documents of custom kinds, the oldest first. */
  const kept = new Set<Described>()

  function refresh(): void {
    const now = serving()
    if (now === served) return
    served = now
    whole = {}
    const next = new Map<string, Described>()
    for (const gv of groupVersions(now.resources)) {
      if (now.proxied.has(`${gv.group}/${gv.version}`)) continue
      const path = pathOf(gv)
      const before = byPath.get(path)
      next.set(path, before && sameSubjects(before.gv, gv) ? before : { gv, digest: digestOf(gv, serverVersion) })
    }
    for (const d of kept) if (next.get(pathOf(d.gv)) !== d) kept.delete(d)
    byPath = next
  }
  function v3(d: Described): Document {
    if (d.digest === undefined) return (d.v3 ??= encode(json(openApiV3(d.gv, serverVersion))))
    kept.delete(d)
    kept.add(d)
    d.v3 ??= { body: json(openApiV3(d.gv, serverVersion)), hash: d.digest, etag: `"${d.digest}"` }
    let bytes = 0
    for (const one of [...kept].reverse()) {
      bytes += one.v3?.body.length ?? 0
      if (bytes <= mostBytes || one === d) continue
      delete one.v3
      kept.delete(one)
    }
    return d.v3
  }
  const proxied = (): Proxied[] => [...(served?.proxied.values() ?? [])]
  const find = (path: string): Proxied | undefined => served?.proxied.get(/^apis\/([^/]+\/[^/]+)$/.exec(path)?.[1] ?? '')
  /** What is in the document of version 2, made as it is wanted: custom kinds one by one, there may be many of a group. */
  function* partsV2(): Generator<PartV2> {
    const others = proxied().flatMap(({ openApi: { v2 } }) => v2 ?? [])
    const theirs = new Set(others.flatMap(other => Object.keys(other.definitions)))
    const taken: PartV2['definitions'] = {}
    const take = (part: PartV2): PartV2 => {
      for (const name in part.definitions) if (theirs.has(name) || renamed.test(name)) taken[name] ??= part.definitions[name]!
      return part
    }
    for (const d of [...byPath.values()]) {
      if (d.digest === undefined) yield take((d.v2 ??= partV2(d.gv)))
      else for (const subject of d.gv.subjects) yield take(partV2({ ...d.gv, subjects: [subject] }))
    }
    for (const other of others) yield take(withoutConflicts(other, taken))
  }
  /** All who want it wait for one. It is kept when it is not too large. */
  function keptV2(form: 'v2' | 'v2Protobuf', write: typeof jsonV2, pause: Pause): Promise<Document> {
    refresh()
    const of = whole
    const made = (of[form] ??= inSlices(write(partsV2(), serverVersion), pause))
    const forget = (): unknown => of[form] === made && delete of[form]
    made.then(({ body }) => body.length > mostBytes && forget(), forget)
    return made
  }
  function index(): object {
    const hashes = [...byPath].map(([path, d]) => [path, d.digest ?? v3(d).hash] as const)
    for (const { group, version, openApi: other } of proxied()) {
      if (!other.v3) continue
      const hash = 'hash' in other.v3 ? other.v3.hash : ofOther(other.v3.document).hash
      hashes.push([`apis/${group}/${version}`, hash])
    }
    return {
      paths: Object.fromEntries(hashes.map(([path, hash]) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }])),
    }
  }
  return {
    v3(path) {
      refresh()
      const described = byPath.get(path)
      if (described) return v3(described)
      const other = find(path)?.openApi.v3
      return other && 'document' in other ? ofOther(other.document) : undefined
    },
    elsewhere(path) {
      refresh()
      const other = find(path)
      return other?.openApi.v3 && 'hash' in other.openApi.v3 ? other : undefined
    },
    index() {
      refresh()
      return (whole.index ??= encode(json(index())))
    },
    v2: pause => keptV2('v2', jsonV2, pause),
    v2Protobuf: pause => keptV2('v2Protobuf', gnosticV2, pause),
  }
}
