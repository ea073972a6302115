/** The columns of `kubectl get pods`. (pkg/printers/internalversion printPod) */
import { humanDuration } from '../../../machinery/time.ts'
import { ageColumn, nameColumn } from '../../columns.ts'
import type { Column } from '../../resource.ts'
import type { Pod } from '../pod.ts'
import type { ContainerStatus } from './containerstatus.ts'

interface Summary {
  ready: number
  total: number
  reason: string
  restarts: string
}

const conditionIsTrue = (pod: Pod, type: string): boolean =>
  pod.status?.conditions?.some(c => c.type === type && c.status === 'True') ?? false
const exitReason = (t: { signal?: number | undefined; exitCode?: number | undefined }): string =>
  t.signal ? `Signal:${t.signal}` : `ExitCode:${t.exitCode ?? 0}`

/** Restarts, and when the last of them was. */
function restartCounter(): { count: (s: ContainerStatus) => void; text: () => string } {
  let restarts = 0
  let last = 0
  return {
    count(s) {
      restarts += s.restartCount ?? 0
      const finished = Date.parse(s.lastState?.terminated?.finishedAt ?? '')
      if (finished > last) last = finished
    },
    text: () => (restarts !== 0 && last !== 0 ? `${restarts} (${humanDuration(Date.now() - last)} ago)` : String(restarts)),
  }
}

/** The reason of the init phase if that is where the pod is; counts sidecars that are up. */
function initReason(
  pod: Pod,
  sidecars: ReadonlySet<string>,
  all: (s: ContainerStatus) => void,
  sidecar: (s: ContainerStatus) => void,
  ready: () => void,
): string | undefined {
  for (const [i, s] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const state = s.state ?? {}
    all(s)
    if (sidecars.has(s.name)) sidecar(s)
    if (state.terminated && (state.terminated.exitCode ?? 0) === 0) continue
    if (sidecars.has(s.name) && s.started) {
      if (s.ready) ready()
      continue
    }
    if (state.terminated) return `Init:${state.terminated.reason || exitReason(state.terminated)}`
    if (state.waiting?.reason && state.waiting.reason !== 'PodInitializing') return `Init:${state.waiting.reason}`
    return `Init:${i}/${pod.spec.initContainers?.length ?? 0}`
  }
  return undefined
}

/** What the columns show of a pod. */
function summarize(pod: Pod): Summary {
  const status = pod.status ?? {}
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always').map(c => c.name))
  let ready = 0
  let reason = status.reason || status.phase || ''
  if (status.conditions?.some(c => c.type === 'PodScheduled' && c.reason === 'SchedulingGated')) reason = 'SchedulingGated'
  const all = restartCounter()
  const running = restartCounter()
  const initializing = initReason(pod, sidecars, all.count, running.count, () => ready++)
  if (initializing) reason = initializing
  const initialized = !initializing || conditionIsTrue(pod, 'Initialized')
  if (initialized) {
    let someRunning = false
    for (const s of [...(status.containerStatuses ?? [])].reverse()) {
      const state = s.state ?? {}
      running.count(s)
      if (state.waiting?.reason) reason = state.waiting.reason
      else if (state.terminated) reason = state.terminated.reason || exitReason(state.terminated)
      else if (s.ready && state.running) {
        someRunning = true
        ready++
      }
    }
    if (reason === 'Completed' && someRunning) reason = conditionIsTrue(pod, 'Ready') ? 'Running' : 'NotReady'
  }
  if (pod.metadata.deletionTimestamp) {
    if (status.reason === 'NodeLost') reason = 'Unknown'
    else if (status.phase !== 'Succeeded' && status.phase !== 'Failed') reason = 'Terminating'
  }
  return { ready, total: (pod.spec.containers ?? []).length + sidecars.size, reason, restarts: (initialized ? running : all).text() }
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? []
  if (gates.length === 0) return '<none>'
  return `${gates.filter(g => conditionIsTrue(pod, g.conditionType)).length}/${gates.length}`
}

// Five cells of one row are asked for one after the other.
let last: { pod: Pod; summary: Summary } | undefined
const summaryOf = (pod: Pod): Summary => {
  if (last?.pod !== pod) last = { pod, summary: summarize(pod) }
  return last.summary
}

export const podColumns: readonly Column<Pod>[] = [
  nameColumn,
  {
    name: 'Ready',
    type: 'string',
    doc: 'How many of the containers are ready to take traffic.',
    cell: p => `${summaryOf(p).ready}/${summaryOf(p).total}`,
  },
  { name: 'Status', type: 'string', doc: 'Where the pod is in its life, or what holds it up.', cell: p => summaryOf(p).reason },
  { name: 'Restarts', type: 'string', doc: 'How often containers were restarted, and when last.', cell: p => summaryOf(p).restarts },
  ageColumn,
  { name: 'IP', type: 'string', wide: true, doc: 'The first address of the pod.', cell: p => p.status?.podIPs?.[0]?.ip || '<none>' },
  { name: 'Node', type: 'string', wide: true, doc: 'The node that the pod was assigned to.', cell: p => p.spec.nodeName || '<none>' },
  {
    name: 'Nominated Node',
    type: 'string',
    wide: true,
    doc: 'The node where room is being made for the pod.',
    cell: p => p.status?.nominatedNodeName || '<none>',
  },
  { name: 'Readiness Gates', type: 'string', wide: true, doc: 'How many of the gates have passed.', cell: readinessGates },
]
