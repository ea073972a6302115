/** DefaultTolerationSeconds: how long a pod stays on a node that is not ready or cannot be reached, unless it says so itself. */
import type { Pod } from '#shared/api/core/pod.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

const notReady = 'node.kubernetes.io/not-ready'
const unreachable = 'node.kubernetes.io/unreachable'

export function defaultTolerationSeconds(notReadySeconds: number, unreachableSeconds: number): AdmissionPlugin {
  const added = [
    { key: notReady, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: notReadySeconds },
    { key: unreachable, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: unreachableSeconds },
  ]
  return {
    name: 'DefaultTolerationSeconds',
    mutate(a) {
      if (!isAbout(a, '', 'pods') || a.operation === 'DELETE') return
      const { spec } = a.object as Pod
      const tolerations = spec.tolerations ?? []
      const tolerates = (key: string): boolean =>
        tolerations.some(t => (!t.key || t.key === key) && (!t.effect || t.effect === 'NoExecute'))
      const missing = added.filter(t => !tolerates(t.key))
      if (missing.length > 0) spec.tolerations = [...tolerations, ...missing.map(t => ({ ...t }))]
    },
  }
}
