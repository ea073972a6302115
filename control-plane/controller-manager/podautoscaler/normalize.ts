/**
 * What becomes of a wish for replicas: what was wished lately holds it back, policies bound how fast it is followed, and the spec's bounds
 * hold. pkg/controller/podautoscaler/horizontal.go
 */
import type { HPAScalingRules, HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'

/** A number of replicas that the metrics asked for, at a time in ms. */
export interface Recommendation {
  readonly replicas: number
  readonly at: number
}
/** By how many replicas it was scaled, up or down. */
export interface ScaleEvent {
  readonly change: number
  readonly at: number
}
/** What is remembered of an autoscaler while one leads; after a change of leader it begins anew. */
export interface History {
  readonly recommendations: readonly Recommendation[]
  readonly ups: readonly ScaleEvent[]
  readonly downs: readonly ScaleEvent[]
}
export interface Wish {
  readonly behavior: HorizontalPodAutoscaler['spec']['behavior']
  readonly min: number
  readonly max: number
  readonly current: number
  readonly wanted: number
  readonly history: History
  /** For how long a wish for more keeps the number from shrinking, where the behaviour does not say. */
  readonly downscaleMs: number
  readonly now: number
}
interface Reason {
  readonly reason: string
  readonly message: string
}
export interface Normalized {
  readonly replicas: number
  /** Of the condition AbleToScale, which is True. */
  readonly able: Reason
  /** Of the condition ScalingLimited. */
  readonly limited: Reason & { readonly status: 'True' | 'False' }
  /** With the new one; without those that no window reaches. */
  readonly recommendations: readonly Recommendation[]
}

const upStabilized: Reason = {
  reason: 'ScaleUpStabilized',
  message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
}
const downStabilized: Reason = {
  reason: 'ScaleDownStabilized',
  message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
}
const ready: Reason = { reason: 'ReadyForNewScale', message: 'recommended size matches current size' }
const inRange: Reason = { reason: 'DesiredWithinRange', message: 'the desired count is within the acceptable range' }
const tooMany: Reason = { reason: 'TooManyReplicas', message: 'the desired replica count is more than the maximum replica count' }
const tooFew: Reason = { reason: 'TooFewReplicas', message: 'the desired replica count is less than the minimum replica count' }
const tooFast: Reason = {
  reason: 'ScaleUpLimit',
  message: 'the desired replica count is increasing faster than the maximum scale rate',
}
const tooFastDown: Reason = {
  reason: 'ScaleDownLimit',
  message: 'the desired replica count is decreasing faster than the maximum scale rate',
}

export function normalize(wish: Wish): Normalized {
  const { behavior, wanted, history, now } = wish
  const up = behavior?.scaleUp
  const down = behavior?.scaleDown
  const upMs = (up?.stabilizationWindowSeconds ?? 0) * 1000
  const downMs = down?.stabilizationWindowSeconds === undefined ? wish.downscaleMs : down.stabilizationWindowSeconds * 1000
  const kept = history.recommendations.filter(r => r.at > now - Math.max(upMs, downMs))
  const recommendations = [...kept, { replicas: wanted, at: now }]
  const stabilized = up && down ? betweenWindows(wish, kept, upMs, downMs) : Math.max(wanted, ...kept.map(r => r.replicas))
  const held = up && down && wanted >= wish.current ? upStabilized : downStabilized
  const { replicas, why } = up && down ? byPolicies(wish, stabilized, up, down) : byDoubling(wish, stabilized)
  return {
    replicas,
    able: stabilized === wanted ? ready : held,
    limited: { status: replicas === stabilized ? 'False' : 'True', ...why },
    recommendations,
  }
}

/** No less than the least wish of the time up, no more than the greatest of the time down; between the two it stays as it is. */
function betweenWindows({ current, wanted, now }: Wish, kept: readonly Recommendation[], upMs: number, downMs: number): number {
  const since = (ms: number): number[] => kept.filter(r => r.at > now - ms).map(r => r.replicas)
  const least = Math.min(wanted, ...since(upMs))
  const greatest = Math.max(wanted, ...since(downMs))
  return Math.min(Math.max(current, least), greatest)
}

interface Bounded {
  readonly replicas: number
  readonly why: Reason
}
/** Without a behaviour it grows to twice as many, and to four at least. */
function byDoubling({ current, min, max }: Wish, wanted: number): Bounded {
  const limit = Math.max(2 * current, 4)
  const [most, why] = max > limit ? [limit, tooFast] : [max, tooMany]
  if (wanted < min) return { replicas: min, why: tooFew }
  return wanted > most ? { replicas: most, why } : { replicas: wanted, why: inRange }
}

function byPolicies(wish: Wish, wanted: number, up: HPAScalingRules, down: HPAScalingRules): Bounded {
  const { current, min, max } = wish
  if (wanted > current) {
    const limit = Math.max(current, upLimit(wish, up))
    const [most, why] = max > limit ? [limit, tooFast] : [max, tooMany]
    if (wanted > most) return { replicas: most, why }
  } else if (wanted < current) {
    const limit = Math.min(current, downLimit(wish, down))
    const [least, why] = min < limit ? [limit, tooFastDown] : [min, tooFew]
    if (wanted < least) return { replicas: least, why }
  }
  return { replicas: wanted, why: inRange }
}

/** How many there were `seconds` ago. */
function before({ current, history, now }: Wish, seconds: number): number {
  const changed = (events: readonly ScaleEvent[]): number =>
    events.reduce((sum, e) => (e.at > now - seconds * 1000 ? sum + e.change : sum), 0)
  return current - changed(history.ups) + changed(history.downs)
}
function upLimit(wish: Wish, { policies = [], selectPolicy }: HPAScalingRules): number {
  if (selectPolicy === 'Disabled') return wish.current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const start = before(wish, periodSeconds)
    return type === 'Pods' ? start + value : Math.ceil(start * (1 + value / 100))
  })
  return selectPolicy === 'Min' ? Math.min(...limits) : Math.max(...limits)
}
function downLimit(wish: Wish, { policies = [], selectPolicy }: HPAScalingRules): number {
  if (selectPolicy === 'Disabled') return wish.current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const start = before(wish, periodSeconds)
    return type === 'Pods' ? start - value : Math.trunc(start * (1 - value / 100))
  })
  return selectPolicy === 'Min' ? Math.max(...limits) : Math.min(...limits)
}

/** The history after a change from `from` to `to`; without a behaviour nobody asks for it. */
export function scaled(history: History, behavior: Wish['behavior'], from: number, to: number, now: number): History {
  if (!behavior) return history
  const policies = [...(behavior.scaleUp?.policies ?? []), ...(behavior.scaleDown?.policies ?? [])]
  const longestMs = 1000 * Math.max(0, ...policies.map(p => p.periodSeconds))
  const recent = (events: readonly ScaleEvent[]): ScaleEvent[] => events.filter(e => e.at >= now - longestMs)
  const event = { change: Math.abs(to - from), at: now }
  const [ups, downs] = [recent(history.ups), recent(history.downs)]
  return { ...history, ups: to > from ? [...ups, event] : ups, downs: to > from ? downs : [...downs, event] }
}
