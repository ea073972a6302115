/**
 * Finds devices for claims on a node: structured parameters as k8s.io/dynamic-resource-allocation/structured/internal/stable allocates
 * them. A decision is made of what is given; nothing is kept.
 */
import type { Node } from '#shared/api/core/node.ts'
import type { NodeSelectorTerm } from '#shared/api/core/podspec/affinity.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import type { DeviceConstraint, DeviceSubRequest } from '#shared/api/resource/devicerequest.ts'
import type { AllocationResult, ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { Device, DeviceAttribute, ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import { poolsFor, type Candidate, type Pool } from './pools.ts'

/** Devices of one claim at most. */
const maxDevices = 32
/** Devices that are tried for the claims of a pod on one node: there are exponentially many ways. */
const maxSteps = 100_000
/** After so many of them the clock is looked at. */
const stepsByClock = 256

/** There is nothing on this node, for a reason; any other error is one of the claim, its classes or their devices. */
export class AllocationFailed extends Error {
  override readonly name = 'AllocationFailed'
}

export interface AllocationWorld {
  readonly slices: readonly ResourceSlice[]
  readonly class: (name: string) => DeviceClass | undefined
  /** Ids of devices that others have. */
  readonly taken: ReadonlySet<string>
  /** Whether a selector means a device. Throws an Error when it cannot say. */
  readonly selects: (expression: string, driver: string, device: Device) => boolean
  /** How long the search on one node may take, ms. */
  readonly timeoutMs: number
}

/** One way to meet a request: what `exactly` says, or one of `firstAvailable`. */
interface Alternative {
  /** `request` or `request/subrequest`. */
  readonly name: string
  readonly request: string
  readonly wants: DeviceSubRequest & { readonly adminAccess?: boolean | undefined }
  readonly candidates: readonly Candidate[]
  readonly count: number
}
interface Chosen {
  readonly candidate: Candidate
  readonly by: Alternative
}

/**
 * An allocation for each claim, in their order; undefined when there are not enough devices. Throws an Error that names what is wrong with
 * a selector or a pool, an AllocationFailed when it is not known in time, or because pools are invalid.
 */
export function allocate(claims: readonly ResourceClaim[], node: Node, world: AllocationWorld): AllocationResult[] | undefined {
  const pools = poolsFor(node, world.slices)
  const taken = new Set(world.taken)
  const chosen: Chosen[][] = claims.map(() => [])
  const deadline = performance.now() + world.timeoutMs
  let steps = 0

  /** The claim after those before it; then, request by request, device by device. */
  function claim(i: number): boolean {
    return i === claims.length || request(i, 0)
  }
  function request(i: number, r: number): boolean {
    const requests = claims[i]!.spec.devices?.requests ?? []
    const one = requests[r]
    if (!one) return claim(i + 1)
    for (const alternative of alternativesOf(claims[i]!, r, pools, taken, world))
      if (chosen[i]!.length + alternative.count <= maxDevices && devices(i, r, alternative, 0, alternative.count)) return true
    return false
  }
  /** `left` more devices, of those from `from` on. */
  function devices(i: number, r: number, by: Alternative, from: number, left: number): boolean {
    if (left === 0) return request(i, r + 1)
    const { candidates, wants } = by
    for (let at = from; at + left <= candidates.length; at++) {
      const candidate = candidates[at]!
      if (++steps > maxSteps || (steps % stepsByClock === 0 && performance.now() > deadline))
        throw new AllocationFailed('timed out trying to allocate devices')
      // Administrators share devices with others, but a claim has none twice.
      if (wants.adminAccess ? chosen[i]!.some(c => c.candidate.id === candidate.id) : taken.has(candidate.id)) continue
      if (!keepsConstraints(claims[i]!.spec.devices?.constraints ?? [], by, candidate, chosen[i]!)) continue
      chosen[i]!.push({ candidate, by })
      if (!wants.adminAccess) taken.add(candidate.id)
      if (devices(i, r, by, at + 1, left - 1)) return true
      chosen[i]!.pop()
      if (!wants.adminAccess) taken.delete(candidate.id)
    }
    return false
  }

  if (claim(0)) return claims.map((c, i) => resultOf(c, chosen[i]!, node, world))
  if (pools.some(p => p.invalid)) throw new AllocationFailed('invalid resource pools were encountered')
  return undefined
}

/** How a request can be met, the best first; those that ask for all devices, of which some are taken, not at all. */
function alternativesOf(
  claim: ResourceClaim,
  r: number,
  pools: readonly Pool[],
  taken: ReadonlySet<string>,
  world: AllocationWorld,
): Alternative[] {
  const { name: request, exactly, firstAvailable = [] } = claim.spec.devices!.requests![r]!
  const ways = exactly ? [{ name: request, wants: { ...exactly, name: request } }] : []
  ways.push(...firstAvailable.map(sub => ({ name: `${request}/${sub.name}`, wants: sub })))
  return ways.flatMap(({ name, wants }: Pick<Alternative, 'name' | 'wants'>): Alternative[] => {
    const all = wants.allocationMode === 'All'
    const candidates = pools.flatMap(pool => {
      const usable = pool.complete && !pool.invalid
      const own = usable || all ? pool.devices.filter(c => isWanted(wants, c, claim, world)) : []
      if (usable || own.length === 0) return own
      const state = pool.complete ? 'invalid' : 'being updated'
      throw new AllocationFailed(
        `claim ${claim.metadata.namespace}/${claim.metadata.name}, request ${wants.name}: asks for all devices, but resource pool ${pool.name} is currently ${state}`,
      )
    })
    if (all && (candidates.length === 0 || (!wants.adminAccess && candidates.some(c => taken.has(c.id))))) return []
    return [{ name, request, wants, candidates, count: all ? candidates.length : (wants.count ?? 1) }]
  })
}

function isWanted(wants: Alternative['wants'], candidate: Candidate, claim: ResourceClaim, world: AllocationWorld): boolean {
  const { driver, device } = candidate
  const selected = (of: string, selectors: Alternative['wants']['selectors'] = []): boolean =>
    selectors.every(({ cel }, i) => {
      try {
        return !cel || world.selects(cel.expression, driver, device)
      } catch (e) {
        throw new Error(`${of}: selector #${i}: CEL runtime error: ${(e as Error).message}`)
      }
    })
  if (!selected(`class ${wants.deviceClassName}`, world.class(wants.deviceClassName)?.spec.selectors)) return false
  if (!selected(`claim ${claim.metadata.namespace}/${claim.metadata.name}`, wants.selectors)) return false
  return (device.taints ?? []).every(
    taint =>
      taint.effect === 'None' ||
      (wants.tolerations ?? []).some(
        t =>
          (!t.effect || t.effect === taint.effect) &&
          (!t.key || t.key === taint.key) &&
          (t.operator === 'Exists' || (t.value ?? '') === (taint.value ?? '')),
      ),
  )
}

const concerns = ({ requests = [] }: DeviceConstraint, { name, request }: Alternative): boolean =>
  requests.length === 0 || requests.includes(request) || requests.includes(name)

/** An attribute by its full name; the driver's own are found without their domain, too. */
function attributeOf({ driver, device }: Candidate, name: string): DeviceAttribute | undefined {
  const all = device.attributes ?? {}
  if (Object.hasOwn(all, name)) return all[name]
  const own = name.startsWith(`${driver}/`) ? name.slice(driver.length + 1) : undefined
  return own !== undefined && Object.hasOwn(all, own) ? all[own] : undefined
}
const same = (a: DeviceAttribute, b: DeviceAttribute): boolean =>
  a.int === b.int && a.bool === b.bool && a.string === b.string && a.version === b.version

/** Whether one more device keeps what the devices of a claim must have in common, or must not. */
function keepsConstraints(
  constraints: readonly DeviceConstraint[],
  by: Alternative,
  candidate: Candidate,
  others: readonly Chosen[],
): boolean {
  return constraints.every(constraint => {
    const name = constraint.matchAttribute ?? constraint.distinctAttribute
    if (name === undefined || !concerns(constraint, by)) return true
    const value = attributeOf(candidate, name)
    if (!value) return false
    const match = constraint.matchAttribute !== undefined
    return others.every(o => !concerns(constraint, o.by) || same(attributeOf(o.candidate, name)!, value) === match)
  })
}

function resultOf(claim: ResourceClaim, chosen: readonly Chosen[], node: Node, world: AllocationWorld): AllocationResult {
  const ways = [...new Set(chosen.map(c => c.by))]
  const ofClasses = [...new Set(ways.map(w => w.wants.deviceClassName))].flatMap(className => {
    const requests = ways.filter(w => w.wants.deviceClassName === className).map(w => w.name)
    return (world.class(className)?.spec.config ?? []).map(config => ({ source: 'FromClass' as const, requests, ...config }))
  })
  const ofClaim = (claim.spec.devices?.config ?? [])
    .filter(({ requests = [] }) => requests.length === 0 || ways.some(w => requests.includes(w.request) || requests.includes(w.name)))
    .map(config => ({ source: 'FromClaim' as const, ...config }))
  const config = [...ofClasses, ...ofClaim]
  const nodeSelector = selectorOf(chosen, node)
  return {
    devices: {
      results: chosen.map(({ by: { name, wants }, candidate: { driver, pool, device } }) => ({
        request: name,
        driver,
        pool,
        device: device.name,
        ...(wants.adminAccess ? { adminAccess: true } : {}),
        ...(wants.tolerations?.length ? { tolerations: wants.tolerations } : {}),
      })),
      ...(config.length > 0 ? { config } : {}),
    },
    ...(nodeSelector ? { nodeSelector } : {}),
  } as AllocationResult
}

/** Upstream's FirstAvailableDeviceRequestMaxSize. */
const mostAlternatives = 8

/** How good allocations are by the order of the alternatives of their requests: 8 for each first one, 7 for each second. */
export function scoreOf(claims: readonly ResourceClaim[], allocations: readonly AllocationResult[]): number {
  let score = 0
  claims.forEach(({ spec }, i) => {
    const given = new Set(allocations[i]?.devices?.results?.map(r => r.request))
    for (const { name, firstAvailable = [] } of spec.devices?.requests ?? [])
      firstAvailable.forEach((sub, nth) => (score += given.has(`${name}/${sub.name}`) ? mostAlternatives - nth : 0))
  })
  return score
}

/** From where the devices can be used together: upstream gives the node itself when one of them is of that alone. */
function selectorOf(chosen: readonly Chosen[], node: Node): AllocationResult['nodeSelector'] {
  const restricted = chosen.map(c => c.candidate.terms).filter(t => t !== undefined)
  if (restricted.length === 0) return undefined
  const own: NodeSelectorTerm = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node.metadata.name ?? ''] }] }
  const isOwn = (terms: readonly NodeSelectorTerm[]): boolean => terms.length === 1 && (terms[0]!.matchFields?.length ?? 0) > 0
  // Alternatives cannot be joined with other alternatives in one selector.
  if (restricted.some(terms => isOwn(terms) || terms.length > 1)) {
    const [first, ...others] = restricted
    if (others.every(o => JSON.stringify(o) === JSON.stringify(first)) && !isOwn(first!)) return { nodeSelectorTerms: [...first!] }
    return { nodeSelectorTerms: [own] }
  }
  const all = restricted.flatMap(([term]) => term?.matchExpressions ?? [])
  const distinct = [...new Map(all.map(e => [JSON.stringify([e.key, e.operator, [...(e.values ?? [])].sort()]), e])).values()]
  return { nodeSelectorTerms: [{ matchExpressions: distinct }] }
}
