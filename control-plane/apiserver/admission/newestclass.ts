/** Which class a plugin takes of those that are marked as the default. */
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { Registry } from '../registry/registry.ts'

/** The name of the newest object of a cluster-scoped table that `isDefault` says yes of; of equally old ones the first by name. */
export function newestOf(
  registry: Registry,
  table: { group: string; plural: string },
  isDefault: (meta: ObjectMeta) => boolean,
): string | undefined {
  const found = registry
    .list(table)
    .map(s => s.object.metadata)
    .filter(isDefault)
  const created = (m: ObjectMeta): string => m.creationTimestamp ?? ''
  found.sort((a, b) => (created(a) === created(b) ? ((a.name ?? '') < (b.name ?? '') ? -1 : 1) : created(a) < created(b) ? 1 : -1))
  return found[0]?.name
}
