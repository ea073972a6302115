/** Discovery as it was first: one document for the groups, and one for each group version. */
import type { ServedGroup, ServedResource, ServedVersion } from './groups.ts'

/** `/api`. `serverAddress` is where clients reach this server, `10.0.0.1:6443`. */
export const apiVersions = (serverAddress: string): object => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
})

const groupBody = (group: ServedGroup): object => {
  const versions = group.versions.map(v => ({ groupVersion: v.groupVersion, version: v.version }))
  return { name: group.name, versions, preferredVersion: versions[0] }
}

/** `/apis`: every group but core. */
export const apiGroupList = (groups: readonly ServedGroup[]): object => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: groups.filter(g => g.name !== '').map(groupBody),
})

/** `/apis/GROUP`. */
export const apiGroup = (group: ServedGroup): object => ({ kind: 'APIGroup', apiVersion: 'v1', ...groupBody(group) })

/** `/api/v1` or `/apis/GROUP/VERSION`. Upstream's core document has no apiVersion. */
export const apiResourceList = (version: ServedVersion): object => ({
  kind: 'APIResourceList',
  ...(version.group === '' ? {} : { apiVersion: 'v1' }),
  groupVersion: version.groupVersion,
  resources: version.resources.flatMap(apiResources),
})

function apiResources(r: ServedResource): object[] {
  const own = {
    name: r.name,
    singularName: r.singular,
    namespaced: r.namespaced,
    kind: r.kind,
    verbs: r.verbs,
    ...(r.shortNames.length > 0 ? { shortNames: r.shortNames } : {}),
    ...(r.categories.length > 0 ? { categories: r.categories } : {}),
    ...(r.storageVersionHash ? { storageVersionHash: r.storageVersionHash } : {}),
  }
  const below = r.subresources.map(s => ({
    name: `${r.name}/${s.name}`,
    singularName: '',
    namespaced: r.namespaced,
    ...(s.foreign ? { group: s.group, version: s.version } : {}),
    kind: s.kind,
    verbs: s.verbs,
  }))
  return [own, ...below]
}
