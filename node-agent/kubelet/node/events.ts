/** What the kubelet tells about its own node as events: conditions that changed, and whether pods may come. */
import type { Node, NodeCondition } from '#shared/api/core/node.ts'
import type { EventRecorder } from '#shared/client/events.ts'

const reasons: Readonly<Record<string, { True: string; False: string }>> = {
  MemoryPressure: { True: 'NodeHasInsufficientMemory', False: 'NodeHasSufficientMemory' },
  DiskPressure: { True: 'NodeHasDiskPressure', False: 'NodeHasNoDiskPressure' },
  PIDPressure: { True: 'NodeHasInsufficientPID', False: 'NodeHasSufficientPID' },
  Ready: { True: 'NodeReady', False: 'NodeNotReady' },
}

/** The reasons of the conditions that changed with this very report: those whose transition is as new as their heartbeat. */
export function transitions(conditions: readonly NodeCondition[] | undefined): string[] {
  return (conditions ?? [])
    .filter(c => c.lastTransitionTime !== undefined && c.lastTransitionTime === c.lastHeartbeatTime)
    .flatMap(c => (c.status === 'True' || c.status === 'False' ? (reasons[c.type]?.[c.status] ?? []) : []))
}

export interface NodeEvents {
  started(): void
  /** Fields of its configuration that do nothing on this node. */
  ignored(fields: readonly string[]): void
  /** After each report, with what the API answered. */
  reported(node: Node): void
  /** Whenever the node was seen: somebody may have cordoned it. */
  seen(node: Node): void
}

export function nodeEvents(recorder: EventRecorder, nodeName: string): NodeEvents {
  // Upstream's kubelet writes the name where the UID belongs, and kubectl describe looks for that.
  const subject = { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, uid: nodeName } }
  const status = (reason: string): void => recorder.event(subject, 'Normal', reason, `Node ${nodeName} status is now: ${reason}`)
  let unschedulable = false
  return {
    started: () => recorder.event(subject, 'Normal', 'Starting', 'Starting kubelet.'),
    ignored: fields => recorder.event(subject, 'Warning', 'FieldsNotHonored', `KubeletConfiguration: no effect here: ${fields.join(', ')}`),
    reported: node => transitions(node.status?.conditions).forEach(status),
    seen(node) {
      const now = node.spec?.unschedulable === true
      if (now !== unschedulable) status(now ? 'NodeNotSchedulable' : 'NodeSchedulable')
      unschedulable = now
    },
  }
}
