/** Which resources the API serves: one kind for each, in the first of its group's versions that has it. */
import type { Kind } from '../api/resource.ts'
import type { Client } from './client.ts'

export interface Discovered extends Kind {
  readonly verbs: readonly string[]
  /** All versions that it is served in. */
  readonly versions: readonly string[]
  /** `status`, `scale`, ... */
  readonly subresources: readonly string[]
}
export interface Discovery {
  readonly resources: Discovered[]
  /** The group versions about which nothing is known: an aggregated API that is down. */
  readonly failed: { groupVersion: string; error: Error }[]
}

interface GroupDiscovery {
  metadata?: { name?: string }
  versions?: { version: string; freshness?: string; resources?: ResourceDiscovery[] }[]
}
interface ResourceDiscovery {
  resource: string
  responseKind?: { kind?: string }
  scope: string
  verbs?: string[]
  subresources?: { subresource: string }[]
}

const accepted = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

/** Asks the API by its two documents of aggregated discovery. Rejects when nothing could be learnt. */
export async function discover(client: Client): Promise<Discovery> {
  const documents = await Promise.all(
    ['/api', '/apis'].map(path => client.raw<{ items?: GroupDiscovery[] }>('GET', path, undefined, { accept: accepted })),
  )
  const found = new Map<string, Discovered & { versions: string[] }>()
  const failed: Discovery['failed'] = []
  for (const { metadata, versions = [] } of documents.flatMap(d => d.items ?? [])) {
    const group = metadata?.name ?? ''
    for (const { version, freshness, resources = [] } of versions) {
      const groupVersion = group ? `${group}/${version}` : version
      // The words of client-go's StaleGroupVersionError.
      if (freshness === 'Stale') failed.push({ groupVersion, error: new Error(`stale GroupVersion discovery: ${groupVersion}`) })
      for (const r of resources) {
        const known = found.get(`${group}/${r.resource}`)
        if (known) known.versions.push(version)
        else
          found.set(`${group}/${r.resource}`, {
            group,
            version,
            kind: r.responseKind?.kind ?? '',
            plural: r.resource,
            namespaced: r.scope === 'Namespaced',
            verbs: r.verbs ?? [],
            versions: [version],
            subresources: (r.subresources ?? []).map(s => s.subresource),
          })
      }
    }
  }
  return { resources: [...found.values()], failed }
}
