/** PostFilter: says that no pods can be evicted to make room. Nobody is evicted yet. */
import { histogram } from '../fiterror.ts'
import { unschedulable, type PluginFactory, type Status } from '../framework.ts'

const notHelpful = { code: 'UnschedulableAndUnresolvable', reasons: ['Preemption is not helpful for scheduling'] } as const
const noVictims = { code: 'Unschedulable', reasons: ['No preemption victims found for incoming pod'] } as const
const verdict = (status: Status): Status => (status.code === 'Unschedulable' ? noVictims : notHelpful)

export const defaultPreemption: PluginFactory = ({ snapshot }) => ({
  name: 'DefaultPreemption',
  postFilter(_, __, { explicit, absent }) {
    const all = snapshot().nodes.length
    const verdicts = new Map([...explicit].map(([node, status]) => [node, verdict(status)]))
    const reasons = histogram({ explicit: verdicts, absent: verdict(absent) }, all)
    return { nominatedNode: '', status: unschedulable(`preemption: 0/${all} nodes are available: ${reasons}.`) }
  },
})
