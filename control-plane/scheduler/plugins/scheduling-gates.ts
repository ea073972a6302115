/** Holds pods back until all their scheduling gates are removed. */
import { pods } from '#shared/api/kinds.ts'
import { Action } from '../clusterevent.ts'
import { unresolvable, type PluginFactory } from '../framework.ts'

export const schedulingGates: PluginFactory = () => ({
  name: 'SchedulingGates',
  events: [{ kind: pods, action: Action.UpdatePodSchedulingGatesEliminated }],
  preEnqueue({ spec: { schedulingGates: gates } }) {
    if (!gates?.length) return undefined
    return unresolvable(`waiting for scheduling gates: [${gates.map(g => g.name).join(' ')}]`)
  },
})
