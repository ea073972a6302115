/** Why a pod fits nowhere, and its message in the words of upstream's FitError. */
import type { NodeStatuses, Status } from './framework.ts'

export interface Diagnosis {
  /** Of the snapshot. */
  numAllNodes: number
  /** The rejections of nodes that were looked at, by name. */
  explicit: Map<string, Status>
  /** That of all others. */
  absent: Status
  /** What PreFilter said of the pod as a whole. */
  preFilterMessage: string
  postFilterMessage: string
  /** Names of the plugins that rejected it. */
  rejectedBy: Set<string>
}

/** What is said of nodes that nobody was asked about, unless something better is known. */
const notAsked: Status = { code: 'UnschedulableAndUnresolvable', reasons: [] }

export const newDiagnosis = (numAllNodes: number): Diagnosis => ({
  numAllNodes,
  explicit: new Map(),
  absent: notAsked,
  preFilterMessage: '',
  postFilterMessage: '',
  rejectedBy: new Set(),
})

/** How often each reason was given, over all nodes: `2 Insufficient cpu, 1 Too many pods`, sorted as text. */
export function histogram({ explicit, absent }: NodeStatuses, numAllNodes: number): string {
  const counts = new Map<string, number>()
  const count = (reasons: readonly string[], times: number): void => {
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + times)
  }
  for (const status of explicit.values()) count(status.reasons, 1)
  if (explicit.size < numAllNodes) count(absent.reasons, numAllNodes - explicit.size)
  return [...counts]
    .map(([reason, n]) => `${n} ${reason}`)
    .sort()
    .join(', ')
}

/** What an event can say at most: upstream's NoteLengthLimit. */
const noteLength = 1024
const more = ' ...'
/** A message as its event has it; the pod's condition has it whole. */
export const noteOf = (message: string): string =>
  message.length <= noteLength ? message : `${message.slice(0, noteLength - more.length)}${more}`

export function fitErrorMessage(diagnosis: Diagnosis): string {
  const { numAllNodes, preFilterMessage, postFilterMessage } = diagnosis
  if (numAllNodes === 0) return 'no nodes available to schedule pods'
  const why = preFilterMessage || histogram(diagnosis, numAllNodes)
  return `0/${numAllNodes} nodes are available:${why ? ` ${why}.` : ''}${postFilterMessage ? ` ${postFilterMessage}` : ''}`
}
