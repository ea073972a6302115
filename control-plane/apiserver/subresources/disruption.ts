/** Disruption budgets as the eviction subresource obeys them (pkg/registry/core/pod/storage/eviction.go). */
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { conditionsFor } from '#shared/api/policy/disruptionallowed.ts'
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from '#shared/api/policy/poddisruptionbudget.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { matchesLabels, selectorOf, type Selector } from '#shared/machinery/labels.ts'
import { forbidden, StatusError } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { self } from '../bootstrap/ensure.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'

/** More evictions than this that the disruption controller has not noticed are too many. */
const maxDisruptedPods = 2000

/** A pod that is not guarded: its end disrupts nothing, as it has ended, is ending, or never ran. */
export const ignoresBudgets = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp !== undefined || ['Succeeded', 'Failed', 'Pending'].includes(status?.phase ?? '')

const tooManyRequests = (message: string, retryAfterSeconds: number): StatusError =>
  new StatusError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: 'DisruptionBudget', message }],
    ...(retryAfterSeconds > 0 ? { retryAfterSeconds } : {}),
  })

/** Asks the client to come again when the disruption controller has seen what changed. */
export const stillProcessed = (budget: string): StatusError =>
  tooManyRequests(`The disruption budget ${budget} is still being processed by the server.`, 10)

/** The budgets that guard a pod. An invalid or empty selector selects nothing. */
function budgetsOf({ registry }: Store, budgets: Endpoint, { metadata }: Pod): PodDisruptionBudget[] {
  const found = registry.list(budgets.table, metadata.namespace).map(s => s.object as unknown as PodDisruptionBudget)
  return found.filter(({ spec }) => {
    let selector: Selector | undefined
    try {
      selector = selectorOf(spec.selector)
    } catch {
      return false
    }
    return selector !== undefined && selector.length > 0 && matchesLabels(selector, metadata.labels)
  })
}

export interface Granted {
  /** The budget's name; '' when none guards the pod. */
  readonly budget: string
  /** Granted because the pod was not ready: it must not have become so when it is deleted. */
  readonly unready: boolean
}

/**
 * Takes one disruption from the budget that guards a pod. Throws 429 when it has none left, 403 when its status makes no sense, and 500
 * when several budgets guard the pod. The cache must be current.
 */
export async function takeDisruption(store: Store, budgets: Endpoint, pod: Pod, dryRun: boolean): Promise<Granted> {
  const guards = budgetsOf(store, budgets, pod)
  if (guards.length > 1)
    throw new StatusError(500, '', 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.')
  const [guard] = guards
  if (!guard) return { budget: '', unready: false }
  const budget = guard.metadata.name ?? ''
  if (!isReady(pod) && mayEvictUnready(guard)) return { budget, unready: true }
  const namespace = pod.metadata.namespace ?? ''
  const change = (current: KubeObject | undefined): KubeObject =>
    decremented(current as unknown as PodDisruptionBudget, pod.metadata.name ?? '') as unknown as KubeObject
  await updateObject(store, budgets, namespace, budget, change, { ...self, subresource: 'status', dryRun })
  return { budget, unready: false }
}

const isReady = (pod: Pod): boolean => pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

function mayEvictUnready({ spec, status }: PodDisruptionBudget): boolean {
  if (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {}
  return currentHealthy >= desiredHealthy && desiredHealthy > 0
}

function whyNone({ conditions, currentHealthy, desiredHealthy }: PodDisruptionBudgetStatus): string {
  const told = conditions?.find(c => c.type === 'DisruptionAllowed')
  const { reason, message } = told?.status === 'False' && told.message ? told : {}
  const none = 'does not allow evicting pods currently'
  // Where the controller could not count, the numbers are not to be trusted.
  if (reason === 'SyncFailed') return `${none} because it failed sync: ${message}`
  if (currentHealthy <= desiredHealthy) return `needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`
  return message ? `${none} (${reason}): ${message}` : none
}

function decremented(current: PodDisruptionBudget, pod: string): PodDisruptionBudget {
  const next = clone(current)
  const { name = '' } = next.metadata
  const status = (next.status ??= { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 })
  const about = { group: 'policy', resource: 'poddisruptionbudget' }
  if ((status.observedGeneration ?? 0) < (next.metadata.generation ?? 0)) throw stillProcessed(name)
  if (status.disruptionsAllowed < 0) throw forbidden(about, name, 'pdb disruptions allowed is negative')
  if (Object.keys(status.disruptedPods ?? {}).length > maxDisruptedPods)
    throw forbidden(about, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller')
  if (status.disruptionsAllowed === 0) throw tooManyRequests(`The disruption budget ${name} ${whyNone(status)}`, 0)
  status.disruptionsAllowed--
  if (status.disruptionsAllowed === 0) status.conditions = conditionsFor(status)
  status.disruptedPods = { ...status.disruptedPods, [pod]: formatTime() }
  return next
}
