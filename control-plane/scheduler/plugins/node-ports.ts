/** Two pods of a node cannot have the same host port. */
import { conflicts, hostPortsOf, type HostPort } from '#shared/scheduling/hostports.ts'
import type { Plugin } from '../framework.ts'

export const nodePorts: Plugin = {
  name: 'NodePorts',
  prepare: hostPortsOf,
  filter: (_, node, ports) => (node.hasFree(ports as HostPort[]) ? undefined : { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true }),
  mayHelp: (pod, event) => event.kind === 'NodeAdd' || (event.kind === 'PodDelete' && hostPortsOf(event.pod).some(freed => hostPortsOf(pod).some(wanted => conflicts(freed, wanted)))),
}
