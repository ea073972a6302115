/** What is served, arranged as discovery shows it: groups, their versions, and the resources of each. */
import { createHash } from 'node:crypto'
import { versionOrder } from '#shared/api/meta/versions.ts'
import { resourceIn, versionsOf, type Resource, type Subresource } from '#shared/api/resource.ts'
import { builtInPriorities, customPriority, registrationGroup, type Priorities, type Priority } from './priorities.ts'

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
  /** Of what its objects are, when that is of another group version than the resource. */
  readonly responseKind?: { readonly group: string; readonly version: string }
}
export interface ServedVersion {
  readonly group: string
  readonly version: string
  /** `apps/v1`, or `v1`. */
  readonly groupVersion: string
  readonly resources: readonly ServedResource[]
  /** Of another server's: whether it is known what that serves now. */
  readonly freshness: Freshness
}
export type Freshness = 'Current' | 'Stale'
export interface ServedGroup {
  readonly name: string
  readonly versions: readonly ServedVersion[]
}

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
/** Kinds of what is not an object but a connection. */
const optionKinds: Readonly<Record<string, string>> = {
  exec: 'PodExecOptions',
  attach: 'PodAttachOptions',
  portforward: 'PodPortForwardOptions',
}
const proxyVerbs = ['create', 'delete', 'get', 'patch', 'update']

/** A group version of another server. */
export interface OtherVersion {
  readonly group: string
  readonly version: string
  readonly resources: readonly ServedResource[]
  readonly freshness: Freshness
}

/**
 * All groups in the order of `priorities`; core has the name `''`. `others` are group versions of other servers, which are shown in place
 * of this server's own.
 */
export function servedGroups(
  resources: readonly Resource[],
  others: readonly OtherVersion[] = [],
  priorities: Priorities = builtInPriorities,
): ServedGroup[] {
  const versions = new Map<string, OtherVersion & { resources: ServedResource[] }>()
  for (const resource of resources) {
    for (const v of versionsOf(resource)) {
      const { group, version } = v
      const key = `${group}/${version}`
      let served = versions.get(key)
      if (!served) versions.set(key, (served = { group, version, resources: [], freshness: 'Current' }))
      served.resources.push(servedResource(resourceIn(resource, v), group, version))
    }
  }
  for (const other of others) versions.set(`${other.group}/${other.version}`, { ...other, resources: [...other.resources] })
  const groups = new Map<string, { name: string; priority: number; versions: (ServedVersion & { priority: number })[] }>()
  for (const { group: name, version, resources: list, freshness } of versions.values()) {
    list.sort((a, b) => (a.name < b.name ? -1 : 1))
    const priority = priorityOf(priorities, name, version)
    const group = groups.get(name) ?? { name, priority: 0, versions: [] }
    groups.set(name, group)
    group.priority = Math.max(group.priority, priority.group)
    const groupVersion = name ? `${name}/${version}` : version
    group.versions.push({ group: name, version, groupVersion, resources: list, freshness, priority: priority.version })
  }
  for (const group of groups.values()) group.versions.sort((a, b) => b.priority - a.priority || versionOrder(a.version, b.version))
  return [...groups.values()].sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
}

function priorityOf(priorities: Priorities, group: string, version: string): Priority {
  if (group === registrationGroup) return { group: Infinity, version: 0 }
  const key = `${group}/${version}`
  return priorities.get(key) ?? builtInPriorities.get(key) ?? customPriority
}

function servedResource(r: Resource, group: string, version: string): ServedResource {
  return {
    name: r.plural,
    singular: r.singular,
    namespaced: r.namespaced,
    kind: r.kind,
    verbs: r.shownVerbs ?? [...(r.verbs ?? allVerbs)].sort(),
    shortNames: r.shortNames ?? [],
    categories: r.categories ?? [],
    storageVersionHash: createHash('sha256').update(`${r.group}/${r.version}/${r.kind}`).digest().subarray(0, 8).toString('base64'),
    subresources: Object.entries(r.subresources ?? {})
      // Upstream lists those of custom kinds in this order.
      .sort(([a], [b]) => (r.structural ? 0 : a < b ? -1 : 1))
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
