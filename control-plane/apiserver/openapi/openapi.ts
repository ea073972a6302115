/**
 * The OpenAPI documents as they are served: made when first asked for, then kept as bytes as long as the kinds that they describe are
 * served.
 */
import { createHash } from 'node:crypto'
import type { Resource } from '#shared/api/resource.ts'
import { encodeGnostic } from './gnostic.ts'
import { groupVersions, sameSubjects, type GroupVersion } from './types.ts'
import { joinV2, partV2, type PartV2 } from './v2.ts'
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
  /** `/openapi/v3/PATH` for a path of the index (`api/v1`, `apis/apps/v1`); undefined for any other. */
  v3(path: string): Document | undefined
  /** `/openapi/v2` as JSON. */
  v2(): Document
  /** `/openapi/v2` as protobuf. */
  v2Protobuf(): Document
}

const pathOf = (gv: GroupVersion): string => (gv.group === '' ? `api/${gv.version}` : `apis/${gv.group}/${gv.version}`)

const json = (document: object): Buffer => Buffer.from(JSON.stringify(document))

function encode(body: Buffer): Document {
  const hash = createHash('sha512').update(body).digest('hex').toUpperCase()
  return { body, hash, etag: `"${hash}"` }
}

/** A group version with what was made of it. */
interface Described {
  readonly gv: GroupVersion
  v3?: Document
  v2?: PartV2
}

/** `resources` gives what is served now, the same array as long as that is the same. `serverVersion` is what `/version` says, `v1.35.0`. */
export function openApi(resources: () => readonly Resource[], serverVersion: string): OpenApi {
  let served: readonly Resource[] | undefined
  let byPath = new Map<string, Described>()
  // Of everything together: these are made again after each change.
  let whole: { index?: Document; v2?: Document; v2Protobuf?: Document } = {}

  function refresh(): void {
    const now = resources()
    if (now === served) return
    served = now
    whole = {}
    const next = new Map<string, Described>()
    for (const gv of groupVersions(now)) {
      const before = byPath.get(pathOf(gv))
      next.set(pathOf(gv), before && sameSubjects(before.gv, gv) ? before : { gv })
    }
    byPath = next
  }
  const v3 = (described: Described): Document => (described.v3 ??= encode(json(openApiV3(described.gv, serverVersion))))
  const v2 = (): object =>
    joinV2(
      [...byPath.values()].map(d => (d.v2 ??= partV2(d.gv))),
      serverVersion,
    )
  const index = (): object => ({
    paths: Object.fromEntries([...byPath].map(([path, d]) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${v3(d).hash}` }])),
  })
  return {
    v3(path) {
      refresh()
      const described = byPath.get(path)
      return described && v3(described)
    },
    index() {
      refresh()
      return (whole.index ??= encode(json(index())))
    },
    v2() {
      refresh()
      return (whole.v2 ??= encode(json(v2())))
    },
    v2Protobuf() {
      refresh()
      return (whole.v2Protobuf ??= encode(encodeGnostic(v2())))
    },
  }
}
