/** What is written of a claim while its volume changes. */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { formatTime } from '#shared/machinery/time.ts'

type Condition = NonNullable<NonNullable<PersistentVolumeClaim['status']>['conditions']>[number]

/** `conditions` with those of the types in `ours` replaced by `made`, each since when it was first there; those of others stay. */
export function withConditions(
  conditions: readonly Condition[] | undefined,
  ours: readonly string[],
  made: readonly { type: string; reason?: string; message?: string }[],
): Condition[] {
  const since = (type: string): string => conditions?.find(c => c.type === type)?.lastTransitionTime ?? formatTime()
  return [
    ...(conditions ?? []).filter(c => !ours.includes(c.type)),
    ...made.map(condition => ({ ...condition, status: 'True', lastTransitionTime: since(condition.type) }) as Condition),
  ]
}

/**
 * Patches the status of the claim as it was read: conditions are a list that others write too. Rejects with Conflict when it has changed.
 */
export function writeStatus(client: Client, claim: PersistentVolumeClaim, status: object): Promise<PersistentVolumeClaim> {
  const { namespace = '', name = '', resourceVersion } = claim.metadata
  return client.patch(persistentVolumeClaims, namespace, name, 'merge', { metadata: { resourceVersion }, status }, 'status')
}
