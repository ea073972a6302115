/** What is served, arranged as discovery shows it: groups, their versions, and the resources of each. */
import { createHash } from 'node:crypto'
import { versionOrder } from '#shared/api/meta/versions.ts'
import { resourceIn, versionsOf, type Resource, type Subresource } from '#shared/api/resource.ts'

export interface ServedSubresource {
  readonly name: string
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly verbs: readonly string[]
  /** Whether the body is of another group, so that plain discovery names it. */
  readonly foreign: boolean
}
export interface ServedResource {
  readonly name: string
  readonly singular: string
  readonly namespaced: boolean
  readonly kind: string
  readonly verbs: readonly string[]
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  /** Tells clients when objects are stored in another version; `''` for what is not stored. */
  readonly storageVersionHash: string
  readonly subresources: readonly ServedSubresource[]
}
export interface ServedVersion {
  readonly group: string
  readonly version: string
  /** `apps/v1`, or `v1`. */
  readonly groupVersion: string
  readonly resources: readonly ServedResource[]
}
export interface ServedGroup {
  readonly name: string
  readonly versions: readonly ServedVersion[]
}

/** The order in which upstream lists its groups. */
const groupOrder = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
]
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
/** Kinds of what is not an object but a connection. */
const optionKinds: Readonly<Record<string, string>> = {
  exec: 'PodExecOptions',
  attach: 'PodAttachOptions',
  portforward: 'PodPortForwardOptions',
}
const proxyVerbs = ['create', 'delete', 'get', 'patch', 'update']

/** All groups, in upstream's order; core comes first with the name `''`. `others` are group versions of other servers. */
export function servedGroups(
  resources: readonly Resource[],
  others: readonly { group: string; version: string; resources: readonly ServedResource[] }[] = [],
): ServedGroup[] {
  const versions = new Map<string, { group: string; version: string; resources: ServedResource[] }>()
  const add = (group: string, version: string, resource: Resource): void => {
    const key = `${group}/${version}`
    let served = versions.get(key)
    if (!served) versions.set(key, (served = { group, version, resources: [] }))
    served.resources.push(servedResource(resource, group, version))
  }
  for (const resource of resources) {
    for (const v of versionsOf(resource)) add(v.group, v.version, resourceIn(resource, v))
  }
  for (const { group, version, resources: list } of others) versions.set(`${group}/${version}`, { group, version, resources: [...list] })
  const groups = new Map<string, ServedVersion[]>()
  for (const { group, version, resources: list } of versions.values()) {
    list.sort((a, b) => (a.name < b.name ? -1 : 1))
    const served = groups.get(group) ?? []
    served.push({ group, version, groupVersion: group ? `${group}/${version}` : version, resources: list })
    groups.set(group, served)
  }
  const rank = (name: string): number => (groupOrder.includes(name) ? groupOrder.indexOf(name) : groupOrder.length)
  return [...groups]
    .map(([name, list]) => ({ name, versions: list.sort((a, b) => versionOrder(a.version, b.version)) }))
    .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1))
}

function servedResource(r: Resource, group: string, version: string): ServedResource {
  return {
    name: r.plural,
    singular: r.singular,
    namespaced: r.namespaced,
    kind: r.kind,
    verbs: [...(r.shownVerbs ?? r.verbs ?? allVerbs)].sort(),
    shortNames: r.shortNames ?? [],
    categories: r.categories ?? [],
    storageVersionHash: createHash('sha256').update(`${r.group}/${r.version}/${r.kind}`).digest().subarray(0, 8).toString('base64'),
    subresources: Object.entries(r.subresources ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, sub]) => servedSubresource(r, name, sub, group, version)),
  }
}

function servedSubresource(r: Resource, name: string, sub: Subresource, group: string, version: string): ServedSubresource {
  const proxyKind = name === 'proxy' ? `${r.kind}ProxyOptions` : undefined
  const connect = name === 'proxy' ? proxyVerbs : ['create', 'get']
  return {
    name,
    group: sub.group ?? group,
    version: sub.version ?? version,
    kind: sub.kind ?? optionKinds[name] ?? proxyKind ?? r.kind,
    verbs: [...new Set(sub.verbs.flatMap(verb => (verb === 'connect' ? connect : [verb])))].sort(),
    foreign: sub.group !== undefined && sub.group !== group,
  }
}
