/** What another server says of a group version: discovery and OpenAPI, asked for now and then, with a deadline and a limit for each. */
import { createHash } from 'node:crypto'
import type { Freshness, ServedResource } from '../discovery/groups.ts'
import { partOf, toV3 } from '../openapi/foreign.ts'
import type { ProxiedOpenApi } from '../surface.ts'
import { aggregatedAccept, ofAggregated, ofList } from './discovered.ts'
import type { Fetched, RemoteServer } from './remote.ts'

export interface GroupVersion {
  readonly group: string
  readonly version: string
}

/** Never changed: the same as before when nothing is new. */
export interface Documents {
  readonly resources: readonly ServedResource[]
  readonly freshness: Freshness
  readonly openApi: ProxiedOpenApi
  /** By which the server tells that nothing is new. */
  readonly etags: { readonly discovery?: string | undefined; readonly v2?: string | undefined }
}

export const noDocuments: Documents = { resources: [], freshness: 'Stale', openApi: { v2: undefined, v3: undefined }, etags: {} }

const discoveryLimits = { deadlineMs: 5_000, maxBytes: 4 * 1024 * 1024 }
const openApiLimits = { deadlineMs: 30_000, maxBytes: 8 * 1024 * 1024 }
const indexLimits = { deadlineMs: 5_000, maxBytes: 1024 * 1024 }

const etagOf = ({ headers, body }: Fetched): string => headers.etag ?? `"${createHash('sha256').update(body).digest('hex')}"`
const parsed = ({ body }: Fetched): unknown => JSON.parse(body.toString())

function expectOk(what: string, { code }: Fetched): void {
  if (code !== 200) throw new Error(`${what} was answered with ${code}`)
}

/** Its resources. Rejects when they cannot be learnt. */
export async function fetchDiscovery(remote: RemoteServer, { group, version }: GroupVersion, before: Documents): Promise<Documents> {
  const etag = before.etags.discovery
  const all = await remote.fetch('/apis', { accept: aggregatedAccept, etag, ...discoveryLimits })
  if (all.code === 304 || (all.code === 200 && etagOf(all) === etag))
    return before.freshness === 'Current' ? before : { ...before, freshness: 'Current' }
  const known = all.code === 200 ? ofAggregated(parsed(all), group, version) : undefined
  if (known) return { ...before, resources: known, freshness: 'Current', etags: { ...before.etags, discovery: etagOf(all) } }
  const path = `/apis/${group}/${version}`
  const list = await remote.fetch(path, discoveryLimits)
  expectOk(path, list)
  const resources = ofList(parsed(list), group, version)
  if (before.freshness === 'Current' && JSON.stringify(resources) === JSON.stringify(before.resources)) return before
  return { ...before, resources, freshness: 'Current', etags: { ...before.etags, discovery: undefined } }
}

/** Its types: what it has of version 3, and what is needed of version 2. Rejects when they cannot be learnt. */
export async function fetchOpenApi(remote: RemoteServer, gv: GroupVersion, before: Documents): Promise<Documents> {
  const v3 = await fetchIndex(remote, gv)
  const { v2, etag } = await fetchV2(remote, gv, before)
  const { openApi: was } = before
  const made = v2 && v2 === was.v2 && was.v3 && 'document' in was.v3 ? was.v3 : v2 && { document: toV3(v2, 'Kubernetes', gv.version) }
  const openApi: ProxiedOpenApi = { v2, v3: v3 ?? made }
  const same = openApi.v2 === before.openApi.v2 && sameV3(openApi.v3, before.openApi.v3)
  return same && etag === before.etags.v2 ? before : { ...before, openApi, etags: { ...before.etags, v2: etag } }
}

const sameV3 = (a: ProxiedOpenApi['v3'], b: ProxiedOpenApi['v3']): boolean =>
  a === b || (a !== undefined && b !== undefined && 'hash' in a && 'hash' in b && a.hash === b.hash)

/** The hash of its document of version 3; undefined when it has none. */
async function fetchIndex(remote: RemoteServer, { group, version }: GroupVersion): Promise<{ hash: string } | undefined> {
  const index = await remote.fetch('/openapi/v3', indexLimits)
  if (index.code === 404) return undefined
  expectOk('/openapi/v3', index)
  const { paths } = parsed(index) as { paths?: Record<string, { serverRelativeURL?: unknown } | undefined> }
  const url = paths?.[`apis/${group}/${version}`]?.serverRelativeURL
  if (typeof url !== 'string') return undefined
  const hash = new URL(url, 'https://x').searchParams.get('hash') ?? ''
  if (!/^[0-9A-Za-z]{0,256}$/.test(hash)) throw new Error('the hash in /openapi/v3 is none')
  return { hash }
}

async function fetchV2(remote: RemoteServer, gv: GroupVersion, before: Documents) {
  const { v2: etag } = before.etags
  const all = await remote.fetch('/openapi/v2', { etag, ...openApiLimits })
  if (all.code === 404) return { v2: undefined, etag: undefined }
  if (all.code === 304 || (all.code === 200 && etagOf(all) === etag)) return { v2: before.openApi.v2, etag }
  expectOk('/openapi/v2', all)
  return { v2: partOf(parsed(all), gv.group, gv.version), etag: etagOf(all) }
}
