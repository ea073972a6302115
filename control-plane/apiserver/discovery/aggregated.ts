/** Discovery in one document: apidiscovery.k8s.io APIGroupDiscoveryList, which kubectl since 1.26 asks for. */
import { createHash } from 'node:crypto'
import type { ServedGroup, ServedResource } from './groups.ts'

/** `''` is served at `/api`, the others at `/apis`. `version` is that of apidiscovery.k8s.io: `v2` or `v2beta1`. */
export const groupDiscoveryList = (groups: readonly ServedGroup[], path: '/api' | '/apis', version: string): object => ({
  kind: 'APIGroupDiscoveryList',
  apiVersion: `apidiscovery.k8s.io/${version}`,
  metadata: {},
  items: groups
    .filter(g => (g.name === '') === (path === '/api'))
    .map(g => ({
      metadata: g.name === '' ? {} : { name: g.name },
      versions: g.versions.map(v => ({
        version: v.version,
        resources: v.resources.map(r => resourceDiscovery(r, v.group, v.version)),
        freshness: v.freshness,
      })),
    })),
})

function resourceDiscovery(r: ServedResource, group: string, version: string): object {
  return {
    resource: r.name,
    responseKind: { ...(r.responseKind ?? { group, version }), kind: r.kind },
    scope: r.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: r.singular,
    verbs: r.verbs,
    ...(r.shortNames.length > 0 ? { shortNames: r.shortNames } : {}),
    ...(r.categories.length > 0 ? { categories: r.categories } : {}),
    ...(r.subresources.length > 0
      ? {
          subresources: r.subresources.map(s => ({
            subresource: s.name,
            responseKind: { group: s.group, version: s.version, kind: s.kind },
            verbs: s.verbs,
          })),
        }
      : {}),
  }
}

/** The document as bytes, with the strong ETag that upstream gives it: clients send it back in If-None-Match. */
export function encodeDiscovery(document: object): { body: Buffer; etag: string } {
  const body = Buffer.from(JSON.stringify(document))
  return { body, etag: `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"` }
}
