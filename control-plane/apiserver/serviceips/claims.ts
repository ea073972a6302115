/**
 * Claims on addresses and ports: one record each in the registry, written over nothing, so that of several API servers one gets it. Whoever
 * finds a record whose Service does not hold it, and which is old enough for that Service's write to be over, may take it.
 */
import { ipFamilyLabel, managedByLabel, serviceAllocator } from '#shared/api/networking/serviceaddresses.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { WriteConflict, type Registry, type Stored, type Table } from '../registry/registry.ts'
import { newUid } from '../objects/create.ts'

/** Records of addresses are what upstream makes of them: IPAddress objects. */
export const addresses: Table = { group: 'networking.k8s.io', plural: 'ipaddresses' }
export const nodePorts: Table = { group: 'internal', plural: 'servicenodeports' }

export interface Owner {
  readonly namespace: string
  readonly name: string
}

/** A Service's write is long over by then. */
const settledMs = 60_000

interface ClaimRecord extends KubeObject {
  spec: { parentRef: { group: string; resource: string; namespace: string; name: string } }
}

function record(table: Table, name: string, owner: Owner): ClaimRecord {
  const address = table === addresses
  return {
    kind: address ? 'IPAddress' : 'ServiceNodePort',
    apiVersion: address ? 'networking.k8s.io/v1' : 'internal/v1',
    metadata: {
      name,
      uid: newUid(),
      creationTimestamp: formatTime(),
      ...(address
        ? {
            labels: { [ipFamilyLabel]: name.includes(':') ? 'IPv6' : 'IPv4', [managedByLabel]: serviceAllocator },
          }
        : {}),
    },
    spec: { parentRef: { group: '', resource: 'services', namespace: owner.namespace, name: owner.name } },
  }
}

export const ownerOf = (claim: Stored): Owner => {
  const { namespace, name } = (claim.object as ClaimRecord).spec.parentRef
  return { namespace, name }
}
/** IPAddresses may be anybody's: one that is not labelled as an API server's was not made for a Service. */
export const isForeign = (table: Table, claim: Stored): boolean =>
  table === addresses && claim.object.metadata.labels?.[managedByLabel] !== serviceAllocator
/** Whether the write that the claim was made for must be over. */
export const isSettled = (claim: Stored): boolean => Date.now() - Date.parse(claim.object.metadata.creationTimestamp ?? '') > settledMs

const same = (a: Owner, b: Owner): boolean => a.namespace === b.namespace && a.name === b.name

/** Whether a Service now holds what `name` stands for. */
export type Holds = (table: Table, owner: Owner, name: string) => boolean

/** Takes `name` for `owner`; false when somebody else has it. */
export async function claim(registry: Registry, table: Table, name: string, owner: Owner, holds: Holds): Promise<boolean> {
  let current = registry.get(table, '', name)
  for (let attempt = 0; attempt < 3; attempt++) {
    if (current) {
      if (isForeign(table, current)) return false
      const holder = ownerOf(current)
      // Its own claim may be left from a try whose Service was never written.
      if (holds(table, holder, name) || !(isSettled(current) || same(holder, owner))) return false
    }
    try {
      await registry.put(table, '', name, record(table, name, owner), current?.version ?? 0)
      return true
    } catch (e) {
      if (!(e instanceof WriteConflict)) throw e
      await registry.fresh()
      current = registry.get(table, '', name)
    }
  }
  return false
}

/** Gives `name` back if `owner` has it. What fails here is found by the repair. */
export async function release(registry: Registry, table: Table, name: string, owner: Owner): Promise<void> {
  const current = registry.get(table, '', name)
  if (!current || isForeign(table, current) || !same(ownerOf(current), owner)) return
  try {
    await registry.remove(table, '', name, current.version)
  } catch (e) {
    if (!(e instanceof WriteConflict)) throw e
  }
}
