/** A pod that names its node goes nowhere else. */
import { nodes } from '#shared/api/kinds.ts'
import { Action } from '../clusterevent.ts'
import { unresolvable, type PluginFactory } from '../framework.ts'

const notThisOne = unresolvable("node(s) didn't match the requested node name")

export const nodeName: PluginFactory = () => ({
  name: 'NodeName',
  events: [{ kind: nodes, action: Action.Add }],
  sign: ({ pod }) => pod.spec.nodeName ?? '',
  filter: (_, { pod }, node) => (pod.spec.nodeName && pod.spec.nodeName !== node.name ? notThisOne : undefined),
})
