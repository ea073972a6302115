/** Revisions of one state, of which there should be one. pkg/controller/daemon/update.go, dedupCurHistories */
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import { controllerRevisions, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { revisionHashLabel, sameData } from '../history/revisions.ts'

const hashOf = ({ metadata }: { metadata: { labels?: Readonly<Record<string, string>> | undefined } }): string | undefined =>
  metadata.labels?.[revisionHashLabel]

/** Deletes the others that are the same as `kept`. Their pods are labelled as its own first, and are so in what it resolves with. */
export async function dropDuplicates(
  client: Client,
  kept: ControllerRevision,
  history: readonly ControllerRevision[],
  owned: readonly LeanPod[],
): Promise<readonly LeanPod[]> {
  const duplicates = history.filter(r => r.metadata.name !== kept.metadata.name && sameData(r.data, kept.data))
  if (duplicates.length === 0) return owned
  const hash = hashOf(kept) ?? ''
  const old = new Set(duplicates.map(hashOf))
  const labels = { [revisionHashLabel]: hash }
  const relabelled = await Promise.all(
    owned.map(async pod => {
      if (!old.has(hashOf(pod)) || hashOf(pod) === hash) return pod
      const { namespace = '', name = '', uid } = pod.metadata
      await client.patch(pods, namespace, name, 'strategic', { metadata: { uid, labels } })
      return { ...pod, metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, ...labels } } }
    }),
  )
  for (const { metadata } of duplicates)
    await client.delete(controllerRevisions, metadata.namespace ?? '', metadata.name ?? '').catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
  return relabelled
}
