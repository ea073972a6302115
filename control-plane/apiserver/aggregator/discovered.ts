/** What another server says in discovery about a group version: of either form, checked before anything of it is shown. */
import * as z from 'zod'
import type { ServedResource, ServedSubresource } from '../discovery/groups.ts'

/** What the server is asked for; older ones answer with a list of groups, which tells nothing about resources. */
export const aggregatedAccept = ['v2', 'v2beta1']
  .map(v => `application/json;g=apidiscovery.k8s.io;v=${v};as=APIGroupDiscoveryList`)
  .join(',')

const name = z.string().min(1).max(253)
const names = z.array(name).max(100).default([])
const kind = z.object({
  group: z.string().max(253).default(''),
  version: z.string().max(253).default(''),
  kind: z.string().max(253).default(''),
})
const subresource = z.object({ subresource: name, responseKind: kind.optional(), verbs: names })
const resource = z.object({
  resource: name,
  responseKind: kind.optional(),
  scope: z.enum(['Namespaced', 'Cluster']),
  singularResource: z.string().max(253).default(''),
  verbs: names,
  shortNames: names,
  categories: names,
  subresources: z.array(subresource).max(1000).default([]),
})
const aggregated = z.object({
  kind: z.literal('APIGroupDiscoveryList'),
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({ name: z.string().default('') }).default({ name: '' }),
      versions: z.array(z.looseObject({ version: z.string() })).default([]),
    }),
  ),
})
const version = z.object({ resources: z.array(resource).max(10_000).default([]) })

/** The resources by an aggregated document; undefined when it is none, empty when it has nothing of the group version. */
export function ofAggregated(document: unknown, group: string, versionName: string): ServedResource[] | undefined {
  const read = aggregated.safeParse(document)
  if (!read.success) return undefined
  const found = read.data.items.find(g => g.metadata.name === group)?.versions.find(v => v.version === versionName)
  return found ? version.parse(found).resources.map(r => servedOf(r, group, versionName)) : []
}

function servedOf(r: z.infer<typeof resource>, group: string, versionName: string): ServedResource {
  const own = (of: z.infer<typeof kind> | undefined) =>
    !of || ((of.group || group) === group && (of.version || versionName) === versionName)
  const { responseKind: of } = r
  return {
    name: r.resource,
    singular: r.singularResource,
    namespaced: r.scope === 'Namespaced',
    kind: of?.kind ?? '',
    verbs: r.verbs,
    shortNames: r.shortNames,
    categories: r.categories,
    storageVersionHash: '',
    subresources: r.subresources.map((s): ServedSubresource => ({
      name: s.subresource,
      group: s.responseKind?.group || group,
      version: s.responseKind?.version || versionName,
      kind: s.responseKind?.kind ?? '',
      verbs: s.verbs,
      foreign: !own(s.responseKind),
    })),
    ...(own(of) ? {} : { responseKind: { group: of!.group || group, version: of!.version || versionName } }),
  }
}

const listed = z.object({
  name,
  singularName: z.string().max(253).default(''),
  namespaced: z.boolean(),
  group: z.string().max(253).default(''),
  version: z.string().max(253).default(''),
  kind: z.string().max(253),
  verbs: names,
  shortNames: names,
  categories: names,
  storageVersionHash: z.string().max(253).default(''),
})
const list = z.object({ kind: z.literal('APIResourceList'), resources: z.array(listed).max(10_000) })

/** The resources by an APIResourceList. Throws for anything else. */
export function ofList(document: unknown, group: string, versionName: string): ServedResource[] {
  const all = list.parse(document).resources
  return all
    .filter(r => !r.name.includes('/'))
    .map(r => {
      const foreign = (r.group || group) !== group || (r.version || versionName) !== versionName
      return {
        name: r.name,
        singular: r.singularName,
        namespaced: r.namespaced,
        kind: r.kind,
        verbs: r.verbs,
        shortNames: r.shortNames,
        categories: r.categories,
        storageVersionHash: r.storageVersionHash,
        subresources: all
          .filter(s => s.name.startsWith(`${r.name}/`))
          .map(s => ({
            name: s.name.slice(r.name.length + 1),
            group: s.group || group,
            version: s.version || versionName,
            kind: s.kind,
            verbs: s.verbs,
            foreign: (s.group || group) !== group,
          })),
        ...(foreign ? { responseKind: { group: r.group || group, version: r.version || versionName } } : {}),
      }
    })
}
