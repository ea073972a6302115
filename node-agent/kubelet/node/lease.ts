/** The node's Lease in kube-node-lease: the heartbeat that the node lifecycle controller watches. */
import { leases } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { Node } from '#shared/api/core/node.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatMicroTime } from '#shared/machinery/time.ts'

const namespace = 'kube-node-lease'

export function nodeLease(node: Node, durationSeconds: number, old: Lease | undefined, now: Date): Lease {
  const name = node.metadata.name ?? ''
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...(old?.metadata ?? { name, namespace }),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: node.metadata.uid ?? '' }],
    },
    spec: { ...old?.spec, holderIdentity: name, leaseDurationSeconds: durationSeconds, renewTime: formatMicroTime(now) },
  }
}

/** Renews a quarter of the duration apart until `signal` aborts; failures are tried again sooner. */
export async function keepLease(
  client: Client,
  node: () => Node,
  durationSeconds: number,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const pause = backoff(200, Math.min(7_000, (durationSeconds * 1000) / 4))
  let lease: Lease | undefined
  while (!signal.aborted) {
    try {
      const name = node().metadata.name ?? ''
      if (!lease) lease = await client.get(leases, namespace, name).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
      const wanted = nodeLease(node(), durationSeconds, lease, new Date())
      lease = lease ? await client.update(leases, wanted) : await client.create(leases, namespace, wanted)
      pause.reset()
      await sleep((durationSeconds * 1000) / 4, signal)
    } catch (e) {
      // Read again what is there: it was deleted, or somebody else wrote it.
      lease = undefined
      log.warn({ node: node().metadata.name, err: (e as Error).message }, 'node lease not renewed')
      await sleep(pause.next(), signal)
    }
  }
}
