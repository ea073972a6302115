/**
 * Devices of pods: claims that have none yet get them for the node that the pod gets, others must be usable from there.
 * pkg/scheduler/framework/plugins/dynamicresources
 */
import { deviceClasses, nodes, pods, resourceClaims, resourceSlices } from '#shared/api/kinds.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import type { AllocationResult, ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { mostConsumers } from '#shared/scheduling/resourceclaims.ts'
import { matchesTerm } from '#shared/scheduling/nodeaffinity.ts'
import { cel } from '#control-plane/apiserver/cel/load.ts'
import { Action } from '../clusterevent.ts'
import type { DynamicResourcesArgs } from '../config/pluginargs.ts'
import { stateKey } from '../cyclestate.ts'
import { allocate, AllocationFailed, scoreOf, type AllocationWorld } from '../dynamicresources/allocate.ts'
import { podResourceClaims, usesResourceClaims } from '../dynamicresources/podclaims.ts'
import { deviceId } from '../dynamicresources/pools.ts'
import { reserveClaim } from '../dynamicresources/reserve.ts'
import {
  failure,
  normalizeByMax,
  skip,
  unresolvable,
  unschedulable,
  type Handle,
  type PluginFactory,
  type PostFilterResult,
} from '../framework.ts'

/** Of the search for devices on one node. */
const defaultTimeout = '10s'

interface State {
  /** Of the pod, those that have devices already. */
  readonly allocated: readonly ResourceClaim[]
  readonly pending: readonly ResourceClaim[]
  readonly world: AllocationWorld
  /** By node, of those that fit. */
  readonly found: Map<string, readonly AllocationResult[]>
  /** Of the allocated ones, those that cannot be used from some node that was looked at. */
  readonly unavailable: Set<ResourceClaim>
  /** Whether the pod's consumption may be written. */
  reserved?: boolean
}
const key = stateKey<State>('DynamicResources')

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? {}) === JSON.stringify(b ?? {})
const nameOf = ({ metadata: { namespace = '', name = '' } }: ResourceClaim): string => `${namespace}/${name}`

const devicesOf = (allocation: AllocationResult | undefined): string[] =>
  (allocation?.devices?.results ?? []).filter(r => !r.adminAccess).map(deviceId)

/** Nodes differ by how good a way they have to meet a request. */
const hasAlternatives = ({ spec }: ResourceClaim): boolean => spec.devices?.requests?.some(r => r.firstAvailable?.length) ?? false

export function dynamicResources({ filterTimeout = defaultTimeout }: DynamicResourcesArgs): PluginFactory {
  // 0 is none.
  const timeoutMs = parseDuration(filterTimeout) || Infinity
  return handle => plugin(handle, timeoutMs)
}

function plugin({ client, informer, log }: Handle, timeoutMs: number): ReturnType<PluginFactory> {
  const claims = informer<ResourceClaim>(resourceClaims)
  const classes = informer<DeviceClass>(deviceClasses)
  const slices = informer<ResourceSlice>(resourceSlices)
  /** Allocations that were decided and are not seen in their claims yet, by the claim's UID. */
  const inFlight = new Map<string, { allocation: AllocationResult; version?: number }>()
  const uidOf = (claim: ResourceClaim): string => claim.metadata.uid ?? ''
  const versionOf = (claim: ResourceClaim): number => Number(claim.metadata.resourceVersion)
  // When it is seen, not when it is next looked for: by then it may have been given back.
  claims.subscribe(({ type, object }) => {
    const { version = Infinity } = inFlight.get(uidOf(object)) ?? {}
    if (type === 'DELETED' || object.status?.allocation || versionOf(object) >= version) inFlight.delete(uidOf(object))
  })
  /** The allocation is stored: it is in flight until that version of its claim, or a later one, is seen. */
  function stored(claim: ResourceClaim, allocation: AllocationResult): void {
    const { namespace = '', name = '' } = claim.metadata
    const seen = claims.get(namespace, name)
    if (seen && uidOf(seen) === uidOf(claim) && versionOf(seen) < versionOf(claim))
      inFlight.set(uidOf(claim), { allocation, version: versionOf(claim) })
    else inFlight.delete(uidOf(claim))
  }

  function takenDevices(): Set<string> {
    const taken = new Set<string>()
    for (const claim of claims.list()) for (const id of devicesOf(claim.status?.allocation)) taken.add(id)
    for (const { allocation } of inFlight.values()) for (const id of devicesOf(allocation)) taken.add(id)
    return taken
  }
  /** The first request whose class is not there. */
  function classless(claim: ResourceClaim): string | undefined {
    for (const { name, exactly, firstAvailable = [] } of claim.spec.devices?.requests ?? [])
      for (const [request, of] of [
        ...(exactly ? [[name, exactly] as const] : []),
        ...firstAvailable.map(sub => [`${name}/${sub.name}`, sub] as const),
      ])
        if (!classes.get('', of.deviceClassName)) return `request ${request}: device class ${of.deviceClassName} does not exist`
    return undefined
  }
  const claimsOf = (pod: LeanPod) => podResourceClaims(pod, (namespace, name) => claims.get(namespace, name))
  /** Devices may have become free, or the claim be there. Nothing helps while one of the pod's own is missing. */
  function claimHelps(pod: LeanPod, before: ResourceClaim | undefined, after: ResourceClaim | undefined): boolean {
    const own = claimsOf(pod)
    if (!('claims' in own)) return false
    if (before?.status?.allocation && !after?.status?.allocation) return true
    return after !== undefined && own.claims.some(c => uidOf(c) === uidOf(after)) && !(before && same(before.status, after.status))
  }

  /** A claim that nobody else uses gives its devices back, so that it can have some where its pod fits. */
  async function deallocate(pod: LeanPod, unavailable: Iterable<ResourceClaim> = []): Promise<PostFilterResult> {
    for (const claim of unavailable) {
      const { allocation: _, devices: __, reservedFor = [], ...status } = claim.status ?? {}
      if (reservedFor.some(c => c.uid !== pod.metadata.uid)) continue
      try {
        await client.update(resourceClaims, { ...claim, status }, 'status')
      } catch (e) {
        return { status: failure(e) }
      }
      return { status: unschedulable('deallocation of ResourceClaim completed') }
    }
    return { status: unschedulable('still not schedulable') }
  }

  return {
    name: 'DynamicResources',
    sign: ({ pod }) => (usesResourceClaims(pod) ? undefined : ''),
    events: [
      {
        kind: resourceClaims,
        action: Action.All,
        hint: (pod, old, now) => claimHelps(pod, old as ResourceClaim | undefined, now as ResourceClaim | undefined),
      },
      {
        kind: pods,
        action: Action.UpdatePodGeneratedResourceClaim,
        hint: (pod, _, now) => now?.metadata.uid === pod.metadata.uid && 'claims' in claimsOf(now as LeanPod),
      },
      { kind: deviceClasses, action: Action.Add | Action.Update },
      { kind: resourceSlices, action: Action.Add | Action.Update },
      { kind: nodes, action: Action.Add | Action.UpdateNodeLabel },
    ],
    preEnqueue(pod) {
      if (!usesResourceClaims(pod)) return undefined
      const found = claimsOf(pod)
      return 'claims' in found ? undefined : unresolvable(found.wrong)
    },
    preFilter(state, { pod }) {
      if (!usesResourceClaims(pod)) return skip
      const found = claimsOf(pod)
      if (!('claims' in found)) return unresolvable(found.wrong)
      const allocated = found.claims.filter(c => c.status?.allocation)
      const pending = found.claims.filter(c => !c.status?.allocation)
      for (const { metadata, status } of allocated) {
        const consumers = status?.reservedFor ?? []
        if (consumers.length >= mostConsumers && !consumers.some(c => c.uid === pod.metadata.uid))
          return unresolvable(`resourceclaim in use, max consumers reached: ${metadata.name}`)
      }
      const taken = takenDevices()
      for (const claim of pending) {
        if (inFlight.has(uidOf(claim))) return unresolvable(`resource claim ${nameOf(claim)} is in the process of being allocated`)
        const missing = classless(claim)
        if (missing !== undefined) return unresolvable(missing)
      }
      const world: AllocationWorld = {
        slices: slices.list(),
        class: name => classes.get('', name),
        taken,
        selects: (expression, driver, device) => cel().selects(expression, driver, device),
        timeoutMs,
      }
      state.set(key, { allocated, pending, world, found: new Map(), unavailable: new Set<ResourceClaim>() })
      return undefined
    },
    filter(state, _, { node, name }) {
      const known = state.get(key)
      if (!known) return undefined
      for (const claim of known.allocated) {
        const selector = claim.status?.allocation?.nodeSelector
        if (!selector || (selector.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node))) continue
        known.unavailable.add(claim)
        return unresolvable('resourceclaim not available on the node')
      }
      if (known.pending.length === 0) return undefined
      try {
        const found = allocate(known.pending, node, known.world)
        // That pods go frees no devices: their claims have them.
        if (!found) return unresolvable('cannot allocate all claims')
        known.found.set(name, found)
        return undefined
      } catch (e) {
        return e instanceof AllocationFailed ? unresolvable(e.message) : failure(e)
      }
    },
    postFilter: (state, { pod }) =>
      usesResourceClaims(pod) ? deallocate(pod, state.get(key)?.unavailable) : { status: unschedulable('no new claims to deallocate') },
    preScore: state => (state.get(key)?.pending.some(hasAlternatives) ? undefined : skip),
    score(state, _, { name }) {
      const known = state.get(key)
      return known ? scoreOf(known.pending, known.found.get(name) ?? []) : 0
    },
    normalizeScore: (_, __, scores) => normalizeByMax(scores),
    reserve(state, _, node) {
      const known = state.get(key)
      if (!known || known.pending.length === 0) return undefined
      const found = known.found.get(node)
      if (!found) return failure('claim allocation not found for node')
      known.pending.forEach((claim, i) => inFlight.set(uidOf(claim), { allocation: found[i]! }))
      return undefined
    },
    unreserve(state, { pod }) {
      const known = state.get(key)
      if (!known) return
      for (const claim of known.pending) inFlight.delete(uidOf(claim))
      if (!known.reserved) return
      const patch = { status: { reservedFor: [{ $patch: 'delete', uid: pod.metadata.uid }] } }
      for (const {
        metadata: { namespace = '', name = '', uid },
      } of [...known.allocated, ...known.pending])
        client
          .patch(resourceClaims, namespace, name, 'strategic', { metadata: { uid }, ...patch }, 'status')
          .catch((err: unknown) => log.warn({ err, claim: `${namespace}/${name}` }, 'a claim could not be given back'))
    },
    preBindPreFlight: state => (state.get(key) ? undefined : skip),
    async preBind(state, { pod }, node) {
      const known = state.get(key)
      if (!known) return undefined
      const { name = '', uid = '' } = pod.metadata
      known.reserved = true
      const found = known.found.get(node) ?? []
      const write = async (claim: ResourceClaim, allocation: AllocationResult | undefined): Promise<void> => {
        const written = await reserveClaim(client, claim, allocation, { name, uid })
        if (written && allocation) stored(written, allocation)
      }
      try {
        await Promise.all([...known.allocated.map(c => write(c, undefined)), ...known.pending.map((c, i) => write(c, found[i]))])
        return undefined
      } catch (e) {
        return failure(e)
      }
    },
  }
}
