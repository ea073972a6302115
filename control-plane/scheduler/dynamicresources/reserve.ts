/** Writes into a claim that a pod uses it, and which devices it has. pkg/scheduler/framework/plugins/dynamicresources, bindClaim */
import { resourceClaims } from '#shared/api/kinds.ts'
import type { AllocationResult, ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { Client } from '#shared/client/client.ts'
import { isConflict } from '#shared/machinery/status.ts'
import { deleteProtection } from '#shared/scheduling/resourceclaims.ts'

/** Others may write at the same time, as when two pods come to share a claim: client-go's DefaultRetry. */
const tries = 5

/** `allocation` is absent for a claim that has its devices. Resolves with what was written; undefined when the pod was known to use it. */
export async function reserveClaim(
  client: Client,
  claim: ResourceClaim,
  allocation: AllocationResult | undefined,
  pod: { name: string; uid: string },
): Promise<ResourceClaim | undefined> {
  const { namespace = '', name = '', uid } = claim.metadata
  const failed = allocation ? 'add allocation and reservation' : 'add reservation'
  let now = claim
  for (let n = 1; ; n++) {
    try {
      return await write(client, now, allocation, pod)
    } catch (e) {
      if (!isConflict(e) || n === tries) throw new Error(`${failed} to claim ${namespace}/${name}: ${(e as Error).message}`)
    }
    now = await client.get<ResourceClaim>(resourceClaims, namespace, name)
    if (now.metadata.uid !== uid || now.metadata.deletionTimestamp)
      throw new Error(`claim ${namespace}/${name} got deleted in the meantime`)
    if (allocation && now.status?.allocation) throw new Error(`claim ${namespace}/${name} got allocated elsewhere in the meantime`)
  }
}

async function write(
  client: Client,
  claim: ResourceClaim,
  allocation: AllocationResult | undefined,
  { name, uid }: { name: string; uid: string },
): Promise<ResourceClaim | undefined> {
  const { metadata, status } = claim
  const consumers = status?.reservedFor ?? []
  if (!allocation && consumers.some(c => c.uid === uid)) return undefined
  const finalizers = metadata.finalizers ?? []
  const guarded = finalizers.includes(deleteProtection)
    ? claim
    : await client.update(resourceClaims, { ...claim, metadata: { ...metadata, finalizers: [...finalizers, deleteProtection] } })
  const reservedFor = [...consumers, { resource: 'pods', name, uid }]
  const next = { ...guarded.status, ...(allocation ? { allocation } : {}), reservedFor }
  return client.update(resourceClaims, { ...guarded, status: next }, 'status')
}
