/** Keeps pods off cordoned nodes. */
import { tolerates } from '#shared/scheduling/taints.ts'
import type { Plugin } from '../framework.ts'

const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }

export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  filter: (pod, { node }) =>
    node?.spec?.unschedulable && !tolerates(pod.spec.tolerations, taint)
      ? { reasons: ['node(s) were unschedulable'], resolvable: false }
      : undefined,
  mayHelp: (_, event) => event.kind === 'NodeAdd' || (event.kind === 'NodeUpdate' && !event.node.spec?.unschedulable),
}
