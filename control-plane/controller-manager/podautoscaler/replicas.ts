/**
 * How many pods the metrics ask for. Pods without metrics and pods that are not ready yet damp what is done, whichever way.
 * pkg/controller/podautoscaler/replica_calculator.go
 */
import type { LeanPod } from '#shared/client/leanpod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue } from '#shared/machinery/quantity.ts'
import { isReady, isTerminating, podCondition } from '../podcontrol/pods.ts'

/** A measurement of a pod, in thousandths of its unit. */
export interface PodMetric {
  readonly value: number
  /** When it was taken, ms. */
  readonly at: number
  /** Over which time. */
  readonly windowMs: number
}
/** By the pod's name. */
export type PodMetrics = ReadonlyMap<string, PodMetric>

/** How far from 1 a ratio of use to target may be before anything is done. */
export interface Tolerances {
  readonly up: number
  readonly down: number
}
const within = (ratio: number, { up, down }: Tolerances): boolean => 1 - down <= ratio && ratio <= 1 + up

/** What is known of the scaled pods. */
export interface Measured {
  /** How many replicas are wanted now. */
  readonly current: number
  readonly pods: readonly LeanPod[]
  readonly metrics: PodMetrics
  /** `cpu`, ...; undefined for what is no resource. */
  readonly resource?: string
  readonly tolerances: Tolerances
  readonly readiness: Readiness
}
export interface Readiness {
  /** The use of cpu of a pod that started within this time counts only when it was measured after the pod became ready. */
  readonly cpuInitializationMs: number
  /** A pod that became unready this soon after its start has never been ready. */
  readonly initialReadinessMs: number
  readonly now: number
}

const maxInt32 = 2 ** 31 - 1
const roundedUp = (replicas: number): number => Math.min(maxInt32, Math.ceil(replicas))

interface Groups {
  readonly ready: number
  readonly unready: readonly string[]
  readonly missing: readonly string[]
  /** Ended or ending: their metrics do not count. */
  readonly ignored: readonly string[]
}

export function groupPods({ pods, metrics, resource, readiness }: Measured): Groups {
  const [unready, missing, ignored]: [string[], string[], string[]] = [[], [], []]
  let ready = 0
  for (const pod of pods) {
    const { name = '' } = pod.metadata
    const metric = metrics.get(name)
    if (isTerminating(pod) || pod.status?.phase === 'Failed') ignored.push(name)
    else if (pod.status?.phase === 'Pending') unready.push(name)
    else if (!metric) missing.push(name)
    else if (resource === 'cpu' && !countsCpu(pod, metric, readiness)) unready.push(name)
    else ready++
  }
  return { ready, unready, missing, ignored }
}

function countsCpu(pod: LeanPod, metric: PodMetric, { cpuInitializationMs, initialReadinessMs, now }: Readiness): boolean {
  const condition = podCondition(pod, 'Ready')
  const start = Date.parse(pod.status?.startTime ?? '')
  if (!condition || Number.isNaN(start)) return false
  const changed = Date.parse(condition.lastTransitionTime ?? '1970-01-01T00:00:00Z')
  const unready = condition.status === 'False'
  if (start + cpuInitializationMs > now) return !unready && metric.at >= changed + metric.windowMs
  return !(unready && start + initialReadinessMs > changed)
}

/**
 * What a ratio of use to target, taken over the pods that count, asks for. `ratioOf` is given the metrics that count; `missing` says what a
 * pod without metrics is taken to use when the number is to shrink.
 */
function replicasBy<R extends { readonly ratio: number }>(
  measured: Measured,
  ratioOf: (values: ReadonlyMap<string, number>) => R,
  missing: (pod: string) => number,
): R & { readonly replicas: number } {
  const { current, pods, metrics, tolerances } = measured
  if (pods.length === 0) throw new Error('no pods returned by selector while calculating replica count')
  const groups = groupPods(measured)
  const left = new Set([...groups.ignored, ...groups.unready])
  const values = new Map([...metrics].flatMap(([name, { value }]) => (left.has(name) ? [] : [[name, value] as const])))
  if (values.size === 0) throw new Error('did not receive metrics for targeted pods (pods might be unready)')
  const first = ratioOf(values)
  const { ratio } = first
  const growsWithUnready = groups.unready.length > 0 && ratio > 1
  if (!growsWithUnready && groups.missing.length === 0)
    return { ...first, replicas: within(ratio, tolerances) ? current : roundedUp(ratio * groups.ready) }
  if (ratio !== 1) for (const pod of groups.missing) values.set(pod, ratio < 1 ? missing(pod) : 0)
  if (growsWithUnready) for (const pod of groups.unready) values.set(pod, 0)
  const { ratio: damped } = ratioOf(values)
  const turned = (ratio < 1 && damped > 1) || (ratio > 1 && damped < 1)
  if (within(damped, tolerances) || turned) return { ...first, replicas: current }
  const replicas = roundedUp(damped * values.size)
  const wrongWay = (damped < 1 && replicas > current) || (damped > 1 && replicas < current)
  return { ...first, replicas: wrongWay ? current : replicas }
}

export interface Utilization {
  readonly replicas: number
  /** Percent of what is requested. */
  readonly utilization: number
  /** Of a pod, in thousandths. */
  readonly average: number
}
/** By the use of what the pods, or their containers of a name, request; `target` in percent. Throws an Error that says what is lacking. */
export function replicasByUtilization(measured: Measured, target: number, container?: string): Utilization {
  let requests: ReadonlyMap<string, number> | undefined
  const requestOf = (pod: string): number | undefined => (requests ??= requestsOf(measured, container)).get(pod)
  const ratioOf = (values: ReadonlyMap<string, number>) => {
    let [used, requested, entries] = [0, 0, 0]
    for (const [pod, value] of values) {
      const request = requestOf(pod)
      if (request === undefined) continue
      used += value
      requested += request
      entries++
    }
    if (requested === 0) throw new Error('no metrics returned matched known pods')
    const utilization = Math.trunc((used * 100) / requested)
    return { ratio: utilization / target, utilization, average: Math.trunc(used / entries) }
  }
  return replicasBy(measured, ratioOf, pod => Math.trunc(((requestOf(pod) ?? 0) * Math.max(100, target)) / 100))
}

/** By the average of a metric of the pods; `target` in thousandths. Throws an Error that says what is lacking. */
export const replicasByAverage = (measured: Measured, target: number): { readonly replicas: number; readonly average: number } =>
  replicasBy(
    measured,
    values => {
      const average = Math.trunc([...values.values()].reduce((a, b) => a + b, 0) / values.size)
      return { ratio: average / target, average }
    },
    () => target,
  )

/** By the pod's name, in thousandths: what the pod requests as a whole where it says so, else what its containers do. */
function requestsOf({ pods, resource = '' }: Measured, container?: string): Map<string, number> {
  return new Map(
    pods.map(pod => {
      const { name = '' } = pod.metadata
      if (container === undefined && Object.keys(pod.spec.resources?.requests ?? {}).length > 0) {
        const request = (podRequests(pod.spec) as Record<string, string>)[resource]
        if (request === undefined) throw new Error(`missing pod-level request for ${resource} in Pod ${name}`)
        return [name, quantityMilliValue(request)]
      }
      const sidecars = (pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')
      const those = [...pod.spec.containers, ...sidecars].filter(c => container === undefined || c.name === container)
      if (container !== undefined && those.length === 0) throw new Error(`container ${container} not found in Pod ${name}`)
      const sum = those.reduce((total, c) => {
        const request = c.resources?.requests?.[resource]
        if (request === undefined) throw new Error(`missing request for ${resource} in container ${c.name} of Pod ${name}`)
        return total + quantityMilliValue(request)
      }, 0)
      return [name, sum]
    }),
  )
}

/** By the ratio of a value that is of no pod to its target. From no pods it takes one for each time that the value is the target. */
export function replicasByRatio({ current, pods, tolerances }: Pick<Measured, 'current' | 'pods' | 'tolerances'>, ratio: number): number {
  if (current === 0) return roundedUp(ratio)
  if (within(ratio, tolerances)) return current
  if (pods.length === 0) throw new Error('unable to calculate ready pods: no pods returned by selector while calculating replica count')
  return roundedUp(ratio * pods.filter(pod => pod.status?.phase === 'Running' && isReady(pod)).length)
}

/** By a value that all pods share; `there` is how many there are. Both amounts in thousandths. */
export function replicasByShare(
  there: number,
  usage: number,
  target: number,
  tolerances: Tolerances,
): { readonly replicas: number; readonly average: number } {
  const average = there === 0 ? usage : Math.ceil(usage / there)
  if (there > 0 && within(usage / (target * there), tolerances)) return { replicas: there, average }
  return { replicas: roundedUp(usage / target), average }
}
