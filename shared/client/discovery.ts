/** Which resources the API serves: one kind for each, in its group's preferred version. */
import type { Kind } from '../api/resource.ts'
import type { Client } from './client.ts'

export interface Discovered extends Kind {
  readonly verbs: readonly string[]
}
interface ResourceList {
  resources?: { name: string; kind: string; namespaced: boolean; verbs: string[] }[]
}
interface GroupList {
  groups?: { name: string; preferredVersion?: { version: string }; versions: { groupVersion: string; version: string }[] }[]
}

/**
 * Asks the API. `failed` names the group versions that did not answer (an aggregated API that is down). Rejects when nothing could be
 * learnt.
 */
export async function discover(client: Client): Promise<{ resources: Discovered[]; failed: { groupVersion: string; error: Error }[] }> {
  const { groups = [] } = await client.raw<GroupList>('GET', '/apis')
  const wanted = [
    { group: '', version: 'v1' },
    ...groups.map(g => ({ group: g.name, version: g.preferredVersion?.version ?? g.versions[0]?.version ?? 'v1' })),
  ]
  const failed: { groupVersion: string; error: Error }[] = []
  const lists = await Promise.all(
    wanted.map(async ({ group, version }) => {
      const groupVersion = group ? `${group}/${version}` : version
      try {
        const { resources = [] } = await client.raw<ResourceList>('GET', group ? `/apis/${groupVersion}` : `/api/${version}`)
        return resources
          .filter(r => !r.name.includes('/'))
          .map(r => ({ group, version, kind: r.kind, plural: r.name, namespaced: r.namespaced, verbs: r.verbs }))
      } catch (error) {
        failed.push({ groupVersion, error: error as Error })
        return []
      }
    }),
  )
  return { resources: lists.flat(), failed }
}
