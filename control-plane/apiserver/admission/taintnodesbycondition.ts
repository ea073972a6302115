/** TaintNodesByCondition: a new node takes no pods until it was seen ready; the node lifecycle controller removes the taint then. */
import type { Node } from '#shared/api/core/node.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

const notReady = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }

export const taintNodesByCondition = (): AdmissionPlugin => ({
  name: 'TaintNodesByCondition',
  mutate(a) {
    if (a.operation !== 'CREATE' || !isAbout(a, '', 'nodes')) return
    const { spec } = a.object as Node
    if (!spec.taints?.some(t => t.key === notReady.key && t.effect === notReady.effect))
      spec.taints = [...(spec.taints ?? []), { ...notReady }]
  },
})
