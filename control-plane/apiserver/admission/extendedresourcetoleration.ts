/** ExtendedResourceToleration: pods that ask for a device tolerate the taint of nodes that are kept for it, which has the device's name. */
import type { Pod } from '#shared/api/core/pod.ts'
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

export const extendedResourceToleration = (): AdmissionPlugin => ({
  name: 'ExtendedResourceToleration',
  mutate(a) {
    if ((a.operation !== 'CREATE' && a.operation !== 'UPDATE') || !isAbout(a, '', 'pods')) return
    const { spec } = a.object as Pod
    const asked = [...spec.containers, ...(spec.initContainers ?? [])].flatMap(c => Object.keys(c.resources?.requests ?? {}))
    for (const key of [...new Set(asked)].filter(isExtendedResource).sort()) {
      const tolerations = spec.tolerations ?? []
      if (!tolerations.some(t => t.key === key && t.operator === 'Exists' && !t.effect && !t.value))
        spec.tolerations = [...tolerations, { key, operator: 'Exists' }]
    }
  },
})
