/** The binding cycle: what happens after a pod is assumed on its node. It waits for others, and runs beside the scheduling of more pods. */
import { pods } from '#shared/api/kinds.ts'
import { TransportError } from '#shared/bus/api-client.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import { isConflict, isNotFound, StatusError } from '#shared/machinery/status.ts'
import type { Logger } from '#shared/component/log.ts'
import type { CycleState } from './cyclestate.ts'
import { bindByExtenders, type Extender } from './extender.ts'
import { isRejected, type Status } from './framework.ts'
import type { SchedulerMetrics } from './metrics.ts'
import type { PodInfo } from './podinfo.ts'
import type { Profile } from './profile.ts'
import type { Slots } from './slots.ts'
import { maxPermitMs, type WaitingPods } from './waitingpods.ts'

export interface Assignment {
  readonly profile: Profile
  readonly state: CycleState
  readonly pod: PodInfo
  readonly node: string
  /** The Permit plugins that hold it back, with their time limits in ms. */
  readonly waits: ReadonlyMap<string, number>
}
export interface BindingOptions {
  readonly client: Client
  readonly waitingPods: WaitingPods
  readonly extenders: readonly Extender[]
  readonly log: Logger
  readonly metrics: SchedulerMetrics
  /** For requests to the API. */
  readonly slots: Slots
  readonly signal: AbortSignal
  /** Called when the pod's node is settled: from then on it can fail, but not be rejected. */
  readonly decided: () => void
  /** Called when status.nominatedNodeName is about to be written. */
  readonly announced: () => void
}

const bindTries = 10

/** The Permit plugins: a rejection, or those that make the pod wait. Throws when one fails. */
export function permit(profile: Profile, state: CycleState, pod: PodInfo, node: string): Status | Map<string, number> {
  const waits = new Map<string, number>()
  const began = performance.now()
  const ended = (code: Status['code'] | 'Success'): void => profile.ended('Permit', code, performance.now() - began)
  for (const plugin of profile.permit) {
    const status = plugin.permit(state, pod, node)
    if (!status) continue
    if (status.code === 'Wait') waits.set(plugin.name, status.timeoutMs ?? maxPermitMs)
    else {
      ended(status.code)
      if (isRejected(status)) return { ...status, plugin: plugin.name }
      throw new Error(`running Permit plugin "${plugin.name}": ${status.reasons.join(', ')}`)
    }
  }
  ended(waits.size > 0 ? 'Wait' : 'Success')
  return waits
}

async function timed(profile: Profile, point: string, work: () => Promise<void> | void): Promise<void> {
  const began = performance.now()
  let code: 'Success' | 'Error' = 'Error'
  try {
    await work()
    code = 'Success'
  } finally {
    profile.ended(point, code, performance.now() - began)
  }
}

/** Resolves when the pod is bound, or with Permit's rejection. Rejects with what failed. */
export async function bindingCycle(assignment: Assignment, options: BindingOptions): Promise<Status | undefined> {
  const { profile, state, pod, node, waits } = assignment
  if (waits.size > 0 || profile.preBind.some(p => p.preBindPreFlight?.(state, pod, node)?.code !== 'Skip'))
    await announceNode(pod, node, options)
  if (waits.size > 0) {
    const began = performance.now()
    const rejection = await options.waitingPods.wait(pod, node, waits)
    options.metrics.permitWaits.observe((performance.now() - began) / 1000, { result: rejection?.code ?? 'Success' })
    if (rejection) return rejection
  }
  options.decided()
  await timed(profile, 'PreBind', async () => {
    for (const plugin of profile.preBind) {
      const status = await plugin.preBind(state, pod, node)
      if (status && status.code !== 'Skip') throw new Error(`running PreBind plugin "${plugin.name}": ${status.reasons.join(', ')}`)
    }
  })
  await options.slots.run(() => timed(profile, 'Bind', () => bind(assignment, options)))
  await timed(profile, 'PostBind', () => profile.postBind.forEach(plugin => plugin.postBind(state, pod, node)))
  return undefined
}

/**
 * The pod is about to be bound, and it will take a while: who makes nodes is told by its status.nominatedNodeName. Upstream's
 * NominatedNodeNameForExpectation.
 */
async function announceNode({ pod, uid }: PodInfo, node: string, { client, log, announced }: BindingOptions): Promise<void> {
  const { namespace = '', name = '' } = pod.metadata
  if (pod.status?.nominatedNodeName === node) return
  announced()
  try {
    await client.patch(pods, namespace, name, 'merge', { metadata: { uid }, status: { nominatedNodeName: node } }, 'status')
  } catch (err) {
    log.debug({ pod: `${namespace}/${name}`, err }, 'the node that is expected could not be written')
  }
}

/** Tries again while the API has no time or does not answer: a binding that came through unnoticed shows in the pod. */
async function bind({ profile, state, pod, node }: Assignment, { client, extenders, log, signal }: BindingOptions): Promise<void> {
  const pause = backoff(100, 5_000)
  for (let n = 1; ; n++) {
    let running = ''
    try {
      if (extenders.length > 0 && (await bindByExtenders(extenders, pod.pod, node, log))) return
      for (const plugin of profile.bind) {
        running = `running Bind plugin "${plugin.name}": `
        const status = await plugin.bind(state, pod, node)
        if (status?.code === 'Skip') continue
        if (status) throw new Error(status.reasons.join(', '))
        return
      }
      throw new Error('no Bind plugin took the pod')
    } catch (e) {
      if (isConflict(e)) {
        const { namespace = '', name = '' } = pod.pod.metadata
        const now = await client.get(pods, namespace, name)
        if (now.metadata.uid === pod.uid && now.spec.nodeName === node) return
      }
      if (isConflict(e) || isNotFound(e)) throw e
      if (signal.aborted || n === bindTries || !isBusy(e)) throw new Error(`${running}${(e as Error).message}`)
    }
    await sleep(pause.next(), signal)
  }
}

/** The API server has too much to do, has just gone, or is not there yet. */
const isBusy = (e: unknown): boolean =>
  e instanceof TransportError || (e instanceof StatusError && (e.code === 429 || e.code === 503 || e.code === 504))
