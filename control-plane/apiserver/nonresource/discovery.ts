/** /api and /apis: what is served, as one document or one for each group and version. */
import type { Resource } from '#shared/api/resource.ts'
import { encodeDiscovery, groupDiscoveryList } from '../discovery/aggregated.ts'
import { servedGroups } from '../discovery/groups.ts'
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from '../discovery/plain.ts'
import type { RequestContext } from '../chain/chain.ts'
import { negotiateOutput } from '../chain/mediatype.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import { wantsPretty } from '../verbs/context.ts'

/** Answers paths under /api and /apis that name no resource; undefined for those that nothing serves. */
export function discovery(
  resources: readonly Resource[],
  serverAddress: () => string,
): (ctx: RequestContext, parts: readonly string[]) => Answer | undefined {
  const groups = servedGroups(resources)
  const aggregated = new Map<string, { body: Buffer; etag: string }>()
  return (ctx, parts) => {
    const output = negotiateOutput(ctx.request.headers['accept'])
    const [first, name, version] = parts
    const root = first === 'api' ? '/api' : '/apis'
    if (output.as === 'APIGroupDiscoveryList' && parts.length === 1) {
      const key = `${root} ${output.version}`
      let document = aggregated.get(key)
      if (!document) aggregated.set(key, (document = encodeDiscovery(groupDiscoveryList(groups, root, output.version))))
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
    if (parts.length === 1) return value(apiGroupList(groups))
    const group = groups.find(g => g.name === name && name !== '')
    if (parts.length === 2) return value(group && apiGroup(group))
    const served = group?.versions.find(v => v.version === version)
    return parts.length === 3 ? value(served && apiResourceList(served)) : undefined
  }
}

/** A document that clients keep: 304 when theirs is still good. */
export function cached(ctx: RequestContext, body: Buffer, etag: string, contentType: string): Answer {
  const headers = { 'content-type': contentType, etag, vary: 'Accept', 'cache-control': 'public' }
  const known = ctx.request.headers['if-none-match']?.split(',').some(t => t.trim() === etag)
  return known ? { code: 304, headers, body: new Uint8Array(0) } : { code: 200, headers, body }
}
