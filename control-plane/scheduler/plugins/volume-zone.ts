/** Volumes that carry labels of a zone or region are used there: volumes of clouds that know no node affinity. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from '#shared/api/kinds.ts'
import { classOf } from '#shared/storage/volume.ts'
import { unlessVolumes } from '../batch.ts'
import { Action } from '../clusterevent.ts'
import { stateKey } from '../cyclestate.ts'
import { skip, unresolvable, type PluginFactory } from '../framework.ts'

interface Topology {
  readonly key: string
  readonly values: readonly string[]
}
const current: Readonly<Record<string, string>> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
}
const labels = [...Object.keys(current), ...Object.values(current)]
const conflict = unresolvable('node(s) had no available volume zone')
const key = stateKey<readonly Topology[]>('VolumeZone')

/** Several zones are written `a__b`. */
const topologiesOf = ({ metadata }: PersistentVolume): Topology[] =>
  labels.flatMap(label => {
    const values = metadata.labels?.[label]?.split('__').map(v => v.trim())
    return values && !values.includes('') ? [{ key: label, values }] : []
  })
const claimsOf = ({ spec }: Pod): string[] => (spec.volumes ?? []).flatMap(v => v.persistentVolumeClaim?.claimName ?? [])

export const volumeZone: PluginFactory = ({ informer }) => {
  const [claims, volumes, classes] = [informer(persistentVolumeClaims), informer(persistentVolumes), informer(storageClasses)]
  return {
    name: 'VolumeZone',
    sign: unlessVolumes,
    events: [
      {
        kind: storageClasses,
        action: Action.Add,
        hint: (_, __, now) => (now as StorageClass).volumeBindingMode === 'WaitForFirstConsumer',
      },
      { kind: nodes, action: Action.Add | Action.UpdateNodeLabel },
      {
        kind: persistentVolumeClaims,
        action: Action.Add | Action.Update,
        hint: (pod, _, now) => now?.metadata.namespace === pod.metadata.namespace && claimsOf(pod).includes(now?.metadata.name ?? ''),
      },
      {
        kind: persistentVolumes,
        action: Action.Add | Action.Update,
        hint: (_, old, now) =>
          !old || JSON.stringify(topologiesOf(old as PersistentVolume)) !== JSON.stringify(topologiesOf(now as PersistentVolume)),
      },
    ],
    preFilter(state, { pod }) {
      const found: Topology[] = []
      for (const name of claimsOf(pod)) {
        const claim = claims.get(pod.metadata.namespace ?? '', name)
        if (!claim) return unresolvable(`persistentvolumeclaim ${JSON.stringify(name)} not found`)
        const { volumeName } = claim.spec
        if (!volumeName) {
          const className = classOf(claim)
          if (className === '') return unresolvable('PersistentVolumeClaim had no pv name and storageClass name')
          const storageClass = classes.get('', className)
          if (!storageClass) return unresolvable(`storageclass.storage.k8s.io ${JSON.stringify(className)} not found`)
          if (storageClass.volumeBindingMode !== 'WaitForFirstConsumer') return unresolvable('PersistentVolume had no name')
          continue
        }
        const volume = volumes.get('', volumeName)
        if (!volume) return unresolvable(`persistentvolume ${JSON.stringify(volumeName)} not found`)
        found.push(...topologiesOf(volume))
      }
      if (found.length === 0) return skip
      state.set(key, found)
      return undefined
    },
    filter(state, _, { node }) {
      const has = node.metadata.labels ?? {}
      // A cluster of one zone need not say so.
      if (!labels.some(label => Object.hasOwn(has, label))) return undefined
      const fits = ({ key: label, values }: Topology): boolean => values.includes(has[label] ?? has[current[label] ?? ''] ?? '')
      return (state.get(key) ?? []).every(fits) ? undefined : conflict
    },
  }
}
