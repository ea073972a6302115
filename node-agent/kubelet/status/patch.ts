/** The strategic merge patch that turns one pod status into another: only what changed, and nothing that others own. */
import type { PodStatus } from '#shared/api/core/podspec/podstatus.ts'

const text = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) =>
    v && typeof v === 'object' && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v,
  )
const same = (a: unknown, b: unknown): boolean => text(a) === text(b)

/** Fields whose lists merge by key on the server: replaced as a whole. */
const keyed = new Set(['podIPs', 'hostIPs'])
/** Fields of the status that the kubelet sets, so that their absence means removal. */
const owned = [
  'observedGeneration',
  'phase',
  'message',
  'reason',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'startTime',
  'initContainerStatuses',
  'containerStatuses',
  'ephemeralContainerStatuses',
  'qosClass',
] as const

/** Conditions of the kubelet's, which end when it says nothing of them: others stay. */
const ownConditions = new Set([
  'PodScheduled',
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodResizePending',
  'PodResizeInProgress',
])

/** Undefined when nothing of it differs. */
export function statusPatch(from: PodStatus | undefined, to: PodStatus): { [field: string]: unknown } | undefined {
  const patch: { [field: string]: unknown } = {}
  for (const field of owned) {
    const [old, value] = [from?.[field], to[field]]
    if (same(old, value)) continue
    patch[field] = value === undefined ? null : keyed.has(field) ? [{ $patch: 'replace' }, ...(value as unknown[])] : value
  }
  const conditions = (to.conditions ?? []).flatMap(c => {
    const old = from?.conditions?.find(o => o.type === c.type)
    if (old && same({ ...old, lastProbeTime: undefined }, c)) return []
    // What the condition no longer says is unset.
    return [{ ...(old?.reason !== undefined ? { reason: null } : {}), ...(old?.message !== undefined ? { message: null } : {}), ...c }]
  })
  for (const { type } of from?.conditions ?? [])
    if (ownConditions.has(type) && !to.conditions?.some(c => c.type === type)) conditions.push({ type, $patch: 'delete' } as never)
  if (conditions.length > 0) patch['conditions'] = conditions
  return Object.keys(patch).length > 0 ? patch : undefined
}
