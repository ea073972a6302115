/** How many volumes of a CSI driver a node takes: what its CSINode says. pkg/scheduler/framework/plugins/nodevolumelimits */
import type { CSINode } from '#shared/api/storage/csinode.ts'
import { csiNodes, persistentVolumeClaims, persistentVolumes, pods, storageClasses, volumeAttachments } from '#shared/api/kinds.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { classOf } from '#shared/storage/volume.ts'
import { unlessVolumes } from '../batch.ts'
import { Action } from '../clusterevent.ts'
import { skip, unschedulable, type PluginFactory } from '../framework.ts'
import { claimNames, usesClaims } from '../volumebinding/podclaims.ts'

const exceeded = unschedulable('node(s) exceed max volume count')
const limitsOf = (node: CSINode | undefined): Map<string, number> =>
  new Map((node?.spec.drivers ?? []).flatMap(d => (d.allocatable?.count === undefined ? [] : [[d.name, d.allocatable.count]])))

export const nodeVolumeLimits: PluginFactory = ({ informer }) => {
  const [claims, volumes, classes] = [informer(persistentVolumeClaims), informer(persistentVolumes), informer(storageClasses)]
  const [csiNodeInformer, attachments] = [informer(csiNodes), informer(volumeAttachments)]
  attachments.addIndex('node', a => [a.spec.nodeName])

  /** Drivers by volume, `driver/handle`; a claim without a volume stands for the one that will be made. */
  function* volumesOf(pod: Pod): Iterable<readonly [volume: string, driver: string]> {
    const namespace = pod.metadata.namespace ?? ''
    for (const { name } of claimNames(pod)) {
      const claim = claims.get(namespace, name)
      if (!claim) continue
      const { volumeName } = claim.spec
      const volume = volumeName ? volumes.get('', volumeName) : undefined
      const csi = volume?.spec.csi
      if (csi) yield [`${csi.driver}/${csi.volumeHandle}`, csi.driver]
      if (volume) continue
      const driver = classes.get('', classOf(claim))?.provisioner
      if (driver) yield [`${driver}/${namespace}/${name}`, driver]
    }
  }
  return {
    name: 'NodeVolumeLimits',
    sign: unlessVolumes,
    events: [
      {
        kind: csiNodes,
        action: Action.Add | Action.Update,
        hint: (_, old, now) => {
          const [before, after] = [limitsOf(old as CSINode | undefined), limitsOf(now as CSINode)]
          return !old || [...before].some(([driver, limit]) => (after.get(driver) ?? Infinity) > limit)
        },
      },
      { kind: pods, action: Action.Delete, hint: (_, old) => usesClaims(old as Pod) },
      {
        kind: persistentVolumeClaims,
        action: Action.Add,
        hint: (pod, _, now) =>
          now?.metadata.namespace === pod.metadata.namespace && claimNames(pod).some(c => c.name === now?.metadata.name),
      },
      { kind: volumeAttachments, action: Action.Delete },
    ],
    preFilter: (_, { pod }) => (usesClaims(pod) ? undefined : skip),
    filter(_, { pod }, node) {
      const limits = limitsOf(csiNodeInformer.get('', node.name))
      if (limits.size === 0) return undefined
      const wanted = new Map([...volumesOf(pod)].filter(([, driver]) => limits.has(driver)))
      if (wanted.size === 0) return undefined
      const used = new Map<string, string>()
      for (const other of node.pods.values())
        if (usesClaims(other.pod)) for (const [volume, driver] of volumesOf(other.pod)) used.set(volume, driver)
      // What is still attached takes its place, also when the pod that used it is gone.
      for (const { spec } of attachments.byIndex('node', node.name)) {
        const csi = volumes.get('', spec.source.persistentVolumeName ?? '')?.spec.csi
        if (csi && csi.driver === spec.attacher) used.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver)
      }
      for (const volume of used.keys()) wanted.delete(volume)
      const count = (of: Map<string, string>, driver: string): number => [...of.values()].filter(d => d === driver).length
      for (const driver of new Set(wanted.values())) if (count(used, driver) + count(wanted, driver) > limits.get(driver)!) return exceeded
      return undefined
    },
  }
}
