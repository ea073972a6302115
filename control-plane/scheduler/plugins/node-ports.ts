/** Two pods of a node cannot have the same port of it. */
import { conflicts, containerPortsOf, hostPortsOf } from '#shared/scheduling/hostports.ts'
import type { Plugin } from '../framework.ts'
import type { PodPorts } from '../nodeinfo.ts'

export const nodePorts: Plugin = {
  name: 'NodePorts',
  prepare: (pod): PodPorts => ({ host: hostPortsOf(pod), container: containerPortsOf(pod) }),
  filter: (_, node, ports) =>
    node.hasFree(ports as PodPorts)
      ? undefined
      : { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true },
  // On a node whose pods share its address, container ports count; which node it was is not asked.
  mayHelp: (pod, event) =>
    event.kind === 'NodeAdd' ||
    (event.kind === 'PodDelete' &&
      [hostPortsOf, containerPortsOf].some(portsOf =>
        portsOf(event.pod).some(freed => portsOf(pod).some(wanted => conflicts(freed, wanted))),
      )),
}
