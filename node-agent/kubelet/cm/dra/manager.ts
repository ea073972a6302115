/**
 * Dynamic resources of pods: before a pod starts, the drivers of its claims' devices prepare them, and when the last pod that uses a claim
 * has ended they take them back. The rules and words are upstream's (pkg/kubelet/cm/dra/manager.go).
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { join } from 'node:path'
import { resourceClaims } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { claimNamesOf, isMadeFor } from '#shared/scheduling/resourceclaims.ts'
import { draOperations } from '../../metrics.ts'
import { uidOf } from '../../pod/containers.ts'
import type { Claim, DraService } from '#shared/dra/services.ts'
import { cdiDevicesOf, claimInfo, openClaims, type ClaimInfo } from './claims.ts'
import type { DraDriver, DraDrivers } from './drivers.ts'

/** A call may set up hardware: upstream's deadline. */
const callTimeoutMs = 45_000

export interface DynamicResources {
  /** Has the devices of a pod's claims prepared, unless they are. Rejects in upstream's words. */
  prepare(pod: Pod): Promise<void>
  /** Has what no other pod uses taken back. Rejects when a driver does not do that, or is not there. Idempotent. */
  unprepare(pod: string): Promise<void>
  /** Names of the CDI devices that a container gets by its claims. Throws when one of them is not prepared. */
  cdiDevices(pod: Pod, container: Container): string[]
  /** The claims that a container uses, as they are prepared. */
  claimsOf(pod: Pod, container: Container): ClaimInfo[]
  /** Takes back what pods that are no more had. */
  retain(pods: ReadonlySet<string>): Promise<void>
}

const claimOf = ({ namespace, uid, name }: ClaimInfo): Claim => ({ namespace, uid, name })

/** Claims by the driver that is asked about them. */
function byDriver(claims: readonly ClaimInfo[]): Map<string, ClaimInfo[]> {
  const batches = new Map<string, ClaimInfo[]>()
  for (const claim of claims) for (const driver of Object.keys(claim.devices)) batches.set(driver, [...(batches.get(driver) ?? []), claim])
  return batches
}

/** Asks one driver about several claims. Rejects unless it did what was asked for all of them. */
async function ask<C extends keyof DraService>(driver: DraDriver, call: C, claims: readonly ClaimInfo[]) {
  const name = call === 'prepare' ? 'NodePrepareResources' : 'NodeUnprepareResources'
  const rpc = driver.service[call] as DraService['prepare']
  const answer = await driver.call(rpc, { claims: claims.map(claimOf) }, callTimeoutMs).catch((e: Error) => {
    throw new Error(`${name}: ${e.message}`)
  })
  const results = answer.claims ?? {}
  for (const [uid, { error }] of Object.entries(results)) {
    const claim = claims.find(c => c.uid === uid)
    if (!claim) throw new Error(`${name} returned result for unknown claim UID ${uid}`)
    if (error) throw new Error(`${name} failed for ResourceClaim ${claim.name}: ${error}`)
  }
  const skipped = claims.length - Object.keys(results).length
  if (skipped !== 0) throw new Error(`${name} skipped ${skipped} ResourceClaims`)
  return results
}

/** What concerns one claim is done one after the other: what uses other claims does not wait for a slow driver. */
function byTurns(): <T>(keys: readonly string[], work: () => Promise<T>) => Promise<T> {
  const turns = new Map<string, Promise<void>>()
  return (keys, work) => {
    const done = Promise.all(keys.map(key => turns.get(key))).then(work)
    const over = done.then(
      () => {},
      () => {},
    )
    for (const key of keys) turns.set(key, over)
    void over.then(() => keys.forEach(key => turns.get(key) === over && turns.delete(key)))
    return done
  }
}

export function dynamicResources(rootDir: string, client: Client, drivers: DraDrivers, log: Logger): DynamicResources {
  const store = openClaims(join(rootDir, 'dra_manager_state'))
  const inTurn = byTurns()
  async function counted(operation: string, what: string, work: () => Promise<void>): Promise<void> {
    const began = performance.now()
    let failed = true
    try {
      await work()
      failed = false
    } catch (e) {
      throw new Error(`${what} dynamic resources: ${(e as Error).message}`)
    } finally {
      draOperations.observe((performance.now() - began) / 1000, { operation_name: operation, is_error: String(failed) })
    }
  }

  async function allowed(pod: Pod, name: string, generated: boolean): Promise<ResourceClaim> {
    const { namespace = '', name: podName = '' } = pod.metadata
    const claim = await client.get<ResourceClaim>(resourceClaims, namespace, name).catch((e: Error) => {
      throw new Error(`fetch ResourceClaim ${name}: ${e.message}`)
    })
    if (generated && !isMadeFor(pod, claim))
      throw new Error(`ResourceClaim ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)`)
    if (!claim.status?.reservedFor?.some(r => r.uid === uidOf(pod)))
      throw new Error(`pod ${podName} (${uidOf(pod)}) is not allowed to use ResourceClaim ${name} (${claim.metadata.uid})`)
    return claim
  }

  async function prepare(pod: Pod): Promise<void> {
    const found: ClaimInfo[] = []
    for (const { name, entry, generated } of claimNamesOf(pod)) {
      if (name === undefined)
        throw new Error(`pod "${pod.metadata.namespace}/${pod.metadata.name}": ResourceClaim not created yet for claim ${entry}`)
      found.push(claimInfo(await allowed(pod, name, generated)))
    }
    // What is wrong now leaves no trace: a pod whose driver was never here can end without it.
    for (const claim of found) for (const driver of Object.keys(claim.devices)) drivers.get(driver)
    const claims = found.map(claim => {
      const known = store.get(claim.namespace, claim.name)
      if (known && known.uid !== claim.uid)
        throw new Error(
          `old ResourceClaim with same name ${claim.name} and different UID ${known.uid} still exists (previous pod force-deleted?!)`,
        )
      if (!known) store.add(claim)
      return known ?? claim
    })
    for (const claim of claims) if (!claim.pods.includes(uidOf(pod))) claim.pods.push(uidOf(pod))
    // Another kubelet must know whom to ask to take it back.
    store.save()
    const missing = claims.filter(c => !c.prepared)
    for (const [name, batch] of byDriver(missing)) {
      const results = await ask(drivers.get(name), 'prepare', batch)
      for (const claim of batch) claim.devices[name] = results[claim.uid]?.devices ?? []
    }
    for (const claim of missing) claim.prepared = true
    store.save()
    if (missing.length > 0) log.info({ pod: uidOf(pod), claims: missing.map(c => c.name) }, 'resource claims prepared')
  }

  async function unprepare(uid: string): Promise<void> {
    const all = store.ofPod(uid)
    const last = all.filter(c => c.pods.length === 1)
    for (const [name, batch] of byDriver(last)) await ask(drivers.get(name), 'unprepare', batch)
    for (const claim of all) claim.pods = claim.pods.filter(p => p !== uid)
    for (const claim of last) store.delete(claim)
    store.save()
    if (last.length > 0) log.info({ pod: uid, claims: last.map(c => c.name) }, 'resource claims unprepared')
  }

  /** The claims of a container, each with the requests of it that are meant. */
  function uses(pod: Pod, container: Container): { claim: ClaimInfo; requests: string[] }[] {
    const wanted = container.resources?.claims ?? []
    if (wanted.length === 0) return []
    return claimNamesOf(pod).flatMap(({ name = '', entry }) => {
      const requests = wanted.filter(w => w.name === entry).map(w => w.request ?? '')
      if (requests.length === 0) return []
      const { namespace = '' } = pod.metadata
      const claim = store.get(namespace, name)
      if (!claim) throw new Error(`internal error: unable to get claim info for ResourceClaim ${name} in namespace ${namespace}`)
      return [{ claim, requests }]
    })
  }

  const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`
  async function takeBack(uid: string): Promise<void> {
    const claims = store.ofPod(uid)
    if (claims.length === 0) return
    await inTurn(
      claims.map(c => keyOf(c.namespace, c.name)),
      () => counted('UnprepareResources', 'unprepare', () => unprepare(uid)),
    )
  }

  return {
    async prepare(pod) {
      if (!pod.spec.resourceClaims?.length) return
      const keys = claimNamesOf(pod).map(c => keyOf(pod.metadata.namespace ?? '', c.name ?? ''))
      await inTurn(keys, () => counted('PrepareResources', 'prepare', () => prepare(pod)))
    },
    unprepare: takeBack,
    cdiDevices: (pod, container) => [
      ...new Set(uses(pod, container).flatMap(({ claim, requests }) => requests.flatMap(r => cdiDevicesOf(claim, r)))),
    ],
    claimsOf: (pod, container) => uses(pod, container).map(u => u.claim),
    async retain(pods) {
      const gone = new Set(store.all().flatMap(c => c.pods.filter(p => !pods.has(p))))
      for (const uid of gone)
        await takeBack(uid).catch((e: Error) =>
          log.warn({ pod: uid, err: e.message }, 'resource claims of a pod that is no more are not taken back'),
        )
    },
  }
}
