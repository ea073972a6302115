/** What a terminating namespace says about itself: pkg/controller/namespace/deletion/status_condition_utils.go */
import type { Namespace, NamespaceCondition } from '#shared/api/core/namespace.ts'
import { formatTime } from '#shared/machinery/time.ts'

/** What a round of deletion found. */
export interface Findings {
  /** `resource.group` (the dot also for the core group) and how many objects are left. */
  remaining: Map<string, number>
  finalizers: Map<string, number>
  discovery: string | undefined
  content: string[]
}

const clean: Record<string, [reason: string, message: string]> = {
  NamespaceDeletionDiscoveryFailure: ['ResourcesDiscovered', 'All resources successfully discovered'],
  NamespaceDeletionGroupVersionParsingFailure: ['ParsedGroupVersions', 'All legacy kube types successfully parsed'],
  NamespaceDeletionContentFailure: ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
  NamespaceContentRemaining: ['ContentRemoved', 'All content successfully removed'],
  NamespaceFinalizersRemaining: ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
}

function problems(found: Findings): Record<string, [reason: string, message: string]> {
  const list = (counts: Map<string, number>, between: string) =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, n]) => `${key} ${between} ${n} resource instances`)
      .join(', ')
  return {
    ...(found.discovery === undefined ? {} : { NamespaceDeletionDiscoveryFailure: ['DiscoveryFailed', found.discovery] }),
    ...(found.content.length
      ? {
          NamespaceDeletionContentFailure: [
            'ContentDeletionFailed',
            `Failed to delete all resource types, ${found.content.length} remaining: ${[...found.content].sort().join(', ')}`,
          ],
        }
      : {}),
    ...(found.remaining.size
      ? { NamespaceContentRemaining: ['SomeResourcesRemain', `Some resources are remaining: ${list(found.remaining, 'has')}`] }
      : {}),
    ...(found.finalizers.size
      ? {
          NamespaceFinalizersRemaining: [
            'SomeFinalizersRemain',
            `Some content in the namespace has finalizers remaining: ${list(found.finalizers, 'in')}`,
          ],
        }
      : {}),
  }
}

/** The conditions after a round; the very same array when nothing changed. */
export function conditionsAfter(namespace: Namespace, found: Findings, now: number): NamespaceCondition[] {
  const before = namespace.status?.conditions ?? []
  const bad = problems(found)
  let changed = false
  const types = [...new Set([...before.map(c => c.type), ...Object.keys(clean)])]
  const after = types.map(type => {
    const old = before.find(c => c.type === type)
    const good = clean[type]
    if (!good) return old!
    const [reason, message] = bad[type] ?? good
    const status = bad[type] ? 'True' : 'False'
    if (old?.status === status && old.reason === reason && old.message === message) return old
    changed = true
    const time = formatTime(new Date(now))
    return { type, status, reason, message, lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? time) : time }
  })
  return changed ? after : before
}
