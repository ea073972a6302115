/** Two pods of a node cannot have the same port of it. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import { conflicts, containerPortsOf, hostPortsOf } from '#shared/scheduling/hostports.ts'
import { Action } from '../clusterevent.ts'
import { skip, unschedulable, type PluginFactory } from '../framework.ts'

const taken = unschedulable("node(s) didn't have free ports for the requested pod ports")

/** On a node whose pods share its address, container ports count; which node it was is not asked. */
const frees = (pod: Pod, gone: Pod): boolean =>
  [hostPortsOf, containerPortsOf].some(portsOf => portsOf(gone).some(freed => portsOf(pod).some(wanted => conflicts(freed, wanted))))

export const nodePorts: PluginFactory = () => ({
  name: 'NodePorts',
  sign: ({ hostPorts, containerPorts }) => [hostPorts, containerPorts],
  events: [
    { kind: nodes, action: Action.Add | Action.UpdateNodeLabel },
    { kind: pods, action: Action.Delete, hint: (pod, gone) => gone !== undefined && frees(pod, gone as Pod) },
  ],
  preFilter: (_, pod) => (pod.hostPorts.length + pod.containerPorts.length === 0 ? skip : undefined),
  filter: (_, pod, node) => (node.hasFree(pod) ? undefined : taken),
})
