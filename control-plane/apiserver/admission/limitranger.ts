/** LimitRanger: new pods, resized ones and claims keep to the LimitRanges of their namespace, which also complete new pods. */
import type { PersistentVolumeClaimSpec } from '#shared/api/core/persistentvolumeclaimspec.ts'
import type { LimitRange } from '#shared/api/core/limitrange.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Registry } from '../registry/registry.ts'
import { aggregate, refused, type AdmissionPlugin, type Attributes } from './admission.ts'
import { brokenByClaim, brokenByPod, setDefaults } from './limits.ts'

const table = { group: '', plural: 'limitranges' }

/** Containers of a pod change by a resize alone; what is going is left alone. */
function concerns(a: Attributes): 'pod' | 'claim' | undefined {
  if (a.resource.group !== '' || a.old?.metadata.deletionTimestamp !== undefined) return undefined
  if (a.resource.resource === 'pods') {
    const asked = a.subresource === '' ? a.operation === 'CREATE' : a.subresource === 'resize' && a.operation === 'UPDATE'
    return asked ? 'pod' : undefined
  }
  const written = a.operation === 'CREATE' || a.operation === 'UPDATE'
  return a.resource.resource === 'persistentvolumeclaims' && a.subresource === '' && written ? 'claim' : undefined
}

export function limitRanger(registry: Registry): AdmissionPlugin {
  return {
    name: 'LimitRanger',
    mutate(a) {
      if (concerns(a) !== 'pod') return
      for (const { object } of registry.list(table, a.namespace)) setDefaults(object as LimitRange, a.object as Pod)
    },
    validate(a) {
      const what = concerns(a)
      if (!what) return
      for (const stored of registry.list(table, a.namespace)) {
        const range = stored.object as LimitRange
        const broken =
          what === 'pod'
            ? brokenByPod(range, a.object as Pod)
            : brokenByClaim(range, (a.object as { spec?: PersistentVolumeClaimSpec }).spec ?? {})
        if (broken.length > 0) throw refused(a, aggregate(broken))
      }
    },
  }
}
