/** Admits a pod to the node for good, or has it end with the reason why not; a critical pod has others give way. */
import type { Pod } from '#shared/api/core/pod.ts'
import { wishes } from '../cm/allocation.ts'
import type { PodContext } from '../context.ts'
import { admissionRejections, preemptions } from '../metrics.ts'
import { admit, type Lack, type Rejection } from './admission.ts'
import { uidOf } from './containers.ts'
import { isCritical } from './critical.ts'
import { disruptionTarget } from './kill.ts'
import { podsToPreempt, preemptionMessage } from './preemption.ts'

const shutdownRejection: Rejection = { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' }
const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })))

/** Sets `admitted` and `allocated` of the state, or `ended`. */
export async function admitPod(ctx: PodContext): Promise<void> {
  const unallocated = await allocateDevices(ctx)
  const { kubelet, pod, state } = ctx
  const others = kubelet.activePods().filter(p => uidOf(p) !== uidOf(pod))
  const node = kubelet.node()
  let rejection = kubelet.isShuttingDown?.() ? shutdownRejection : (unallocated ?? (node && admit(pod, node, others, kubelet.security)))
  if (rejection?.lacks && isCritical(pod)) rejection = await preempt(ctx, others, rejection.lacks)
  if (!rejection) return take(ctx)
  ctx.event('Warning', rejection.reason, rejection.message)
  admissionRejections.add({ reason: rejection.reason })
  state.ended = { reason: rejection.reason, message: `Pod was rejected: ${rejection.message}` }
}

function take({ pod, state }: PodContext): void {
  state.admitted = true
  state.allocated = wishes(pod)
}

/** Devices first, as upstream: of what no plugin has the node's own accounts decide. */
async function allocateDevices({ kubelet: { devices, holdsResources }, pod }: PodContext): Promise<Rejection | undefined> {
  return await devices?.allocate(pod, holdsResources).then(
    () => undefined,
    (e: Error) => ({ reason: 'UnexpectedAdmissionError', message: `Allocate failed due to ${e.message}, which is unexpected` }),
  )
}

/** Ends pods that are in this one's way, and waits for that; what they leave is this one's already. */
async function preempt(ctx: PodContext, others: readonly Pod[], missing: readonly Lack[]): Promise<Rejection | undefined> {
  const { kubelet, pod } = ctx
  let victims: Pod[]
  try {
    victims = podsToPreempt(
      pod,
      others,
      missing.map(l => ({ resource: l.resource, quantity: l.requested + l.used - l.capacity })),
    )
  } catch (e) {
    const why = `preemption: error finding a set of pods to preempt: ${(e as Error).message}`
    const message = `Unexpected error while attempting to recover from admission failure: ${why}`
    return { reason: 'UnexpectedAdmissionError', message }
  }
  take(ctx)
  const condition = disruptionTarget('Pod was preempted by Kubelet to accommodate a critical pod.')
  const ends = victims.map(victim => {
    kubelet.recorder.event(victim, 'Warning', 'Preempting', preemptionMessage)
    preemptions.add({ preemption_signal: missing[0]?.resource ?? '' })
    return kubelet.killPod(uidOf(victim), { reason: 'Preempting', message: preemptionMessage, condition })
  })
  await Promise.race([Promise.all(ends), aborted(ctx.ending)])
  return undefined
}
