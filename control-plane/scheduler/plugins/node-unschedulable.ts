/** Keeps pods off cordoned nodes. */
import type { Node } from '#shared/api/core/node.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import { Action } from '../clusterevent.ts'
import { unresolvable, type PluginFactory } from '../framework.ts'

const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }
const cordoned = unresolvable('node(s) were unschedulable')

export const nodeUnschedulable: PluginFactory = () => ({
  name: 'NodeUnschedulable',
  events: [
    {
      kind: nodes,
      action: Action.Add | Action.UpdateNodeTaint,
      hint: (_, old, node) => !(node as Node).spec?.unschedulable && (!old || (old as Node).spec?.unschedulable === true),
    },
    {
      kind: pods,
      action: Action.UpdatePodToleration,
      hint: (pod, _, now) => now?.metadata.uid === pod.metadata.uid && tolerates(pod.spec.tolerations, taint),
    },
  ],
  sign: ({ pod }) => pod.spec.tolerations ?? [],
  filter: (_, { pod }, { node }) => (node.spec?.unschedulable && !tolerates(pod.spec.tolerations, taint) ? cordoned : undefined),
})
