/** /api and /apis: what is served, as one document or one for each group and version. */
import { encodeDiscovery, groupDiscoveryList } from '../discovery/aggregated.ts'
import type { ServedGroup } from '../discovery/groups.ts'
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from '../discovery/plain.ts'
import type { RequestContext } from '../chain/chain.ts'
import { negotiateOutput } from '../chain/mediatype.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import type { Surface } from '../surface.ts'
import { wantsPretty } from '../verbs/context.ts'

/** Answers paths under /api and /apis that name no resource; undefined for those that nothing serves. */
export function discovery(
  surface: Surface,
  serverAddress: () => string,
): (ctx: RequestContext, parts: readonly string[]) => Answer | Promise<Answer> | undefined {
  return (ctx, parts) => {
    const { groups, proxied } = surface.current
    const output = negotiateOutput(ctx.request.headers['accept'])
    const [first, name, version] = parts
    const root = first === 'api' ? '/api' : '/apis'
    if (output.as === 'APIGroupDiscoveryList' && parts.length === 1) {
      const document = aggregated(groups, root, output.version)
      return cached(
        ctx,
        document.body,
        document.etag,
        `application/json;g=apidiscovery.k8s.io;v=${output.version};as=APIGroupDiscoveryList`,
      )
    }
    const value = (v: object | undefined): Answer | undefined =>
      v && valueAnswer(200, v, { format: output.format, pretty: wantsPretty(ctx) })
    if (root === '/api') {
      if (parts.length === 1) return value(apiVersions(serverAddress()))
      const core = groups.find(g => g.name === '')?.versions.find(v => v.version === name)
      return parts.length === 2 ? value(core && apiResourceList(core)) : undefined
    }
    const other = proxied.get(`${name}/${version}`)
    if (other) return other.serve(ctx)
    if (parts.length === 1) return value(apiGroupList(groups))
    const group = groups.find(g => g.name === name && name !== '')
    if (parts.length === 2) return value(group && apiGroup(group))
    const served = group?.versions.find(v => v.version === version)
    return parts.length === 3 ? value(served && apiResourceList(served)) : undefined
  }
}

// By what they show: made again when that is another.
const documents = new WeakMap<readonly ServedGroup[], Map<string, { body: Buffer; etag: string }>>()
function aggregated(groups: readonly ServedGroup[], root: '/api' | '/apis', version: string): { body: Buffer; etag: string } {
  let made = documents.get(groups)
  if (!made) documents.set(groups, (made = new Map()))
  const key = `${root} ${version}`
  let document = made.get(key)
  if (!document) made.set(key, (document = encodeDiscovery(groupDiscoveryList(groups, root, version))))
  return document
}

/** A document that clients keep: 304 when theirs is still good. */
export function cached(ctx: RequestContext, body: Buffer, etag: string, contentType: string): Answer {
  const headers = { 'content-type': contentType, etag, vary: 'Accept', 'cache-control': 'public' }
  const known = ctx.request.headers['if-none-match']?.split(',').some(t => t.trim() === etag)
  return known ? { code: 304, headers, body: new Uint8Array(0) } : { code: 200, headers, body }
}
