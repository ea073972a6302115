/** The OpenAPI documents as they are served: built when first asked for, then kept as bytes. */
import { createHash } from 'node:crypto'
import type { Resource } from '#shared/api/resource.ts'
import { encodeGnostic } from './gnostic.ts'
import { groupVersions, type GroupVersion } from './types.ts'
import { openApiV2 } from './v2.ts'
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

/** `serverVersion` is what `/version` says, `v1.35.0`. */
export function openApi(resources: readonly Resource[], serverVersion: string): OpenApi {
  const byPath = new Map(groupVersions(resources).map(gv => [pathOf(gv), gv]))
  const documents = new Map<string, Document>()
  const kept = (key: string, build: () => object, write = json): Document => {
    let document = documents.get(key)
    if (!document) documents.set(key, (document = encode(write(build()))))
    return document
  }
  const v3 = (path: string): Document | undefined => {
    const gv = byPath.get(path)
    return gv && kept(path, () => openApiV3(gv, serverVersion))
  }
  const v2 = (): object => openApiV2([...byPath.values()], serverVersion)
  return {
    v3,
    index: () =>
      kept('index', () => ({
        paths: Object.fromEntries(
          [...byPath.keys()].map(path => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${v3(path)!.hash}` }]),
        ),
      })),
    v2: () => kept('v2', v2),
    v2Protobuf: () => kept('v2 protobuf', v2, encodeGnostic),
  }
}
