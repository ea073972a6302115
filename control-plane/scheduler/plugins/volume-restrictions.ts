/** Volumes that two pods cannot share: claims for one pod only, and disks that are named in a pod's spec. */
import { isPodFinished } from '#shared/api/core/pod.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { nodes, persistentVolumeClaims, pods } from '#shared/api/kinds.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { unlessVolumes } from '../batch.ts'
import { Action } from '../clusterevent.ts'
import { stateKey } from '../cyclestate.ts'
import { skip, unresolvable, unschedulable, type PluginFactory } from '../framework.ts'
import { claimNames } from '../volumebinding/podclaims.ts'

type Volume = NonNullable<Pod['spec']['volumes']>[number]

const diskConflict = unschedulable('node(s) had no available disk')
const onePodConflict = unschedulable(
  'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
)

/** The claims of the pod that only one pod may use, and how many other uses of them there are. A dry run changes the number. */
class OnePodClaims {
  readonly keys: ReadonlySet<string>
  uses: number
  constructor(keys: ReadonlySet<string>, uses: number) {
    this.keys = keys
    this.uses = uses
  }
  clone(): OnePodClaims {
    return new OnePodClaims(this.keys, this.uses)
  }
}
const key = stateKey<OnePodClaims>('VolumeRestrictions')

const disks = ['gcePersistentDisk', 'awsElasticBlockStore', 'rbd', 'iscsi'] as const
const namesDisk = (v: Volume): boolean => disks.some(d => v[d])

/** Whether two volumes are one disk that cannot be used twice. */
export function isConflict(a: Volume, b: Volume): boolean {
  const writes = (x: { readOnly?: boolean | undefined }, y: { readOnly?: boolean | undefined }): boolean => !(x.readOnly && y.readOnly)
  if (a.gcePersistentDisk && b.gcePersistentDisk)
    return a.gcePersistentDisk.pdName === b.gcePersistentDisk.pdName && writes(a.gcePersistentDisk, b.gcePersistentDisk)
  if (a.awsElasticBlockStore && b.awsElasticBlockStore) return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID
  if (a.iscsi && b.iscsi) return a.iscsi.iqn === b.iscsi.iqn && writes(a.iscsi, b.iscsi)
  if (!a.rbd || !b.rbd) return false
  const [x, y] = [a.rbd, b.rbd]
  return x.monitors.some(m => y.monitors.includes(m)) && x.pool === y.pool && x.image === y.image && writes(x, y)
}

const keysOf = (pod: Pod): string[] => claimNames(pod).map(({ name }) => `${pod.metadata.namespace}/${name}`)

export const volumeRestrictions: PluginFactory = ({ informer }) => {
  const claims = informer(persistentVolumeClaims)
  const podInformer = informer(pods)
  podInformer.addIndex('claim', keysOf)
  /** Pods, by UID, that have been given a node which the informer does not show yet. */
  const reserved = new Map<string, readonly string[]>()
  podInformer.subscribe(({ type, object }) => {
    if (type === 'DELETED' || object.spec.nodeName) reserved.delete(object.metadata.uid ?? '')
  })
  const isForOnePod = (claim: PersistentVolumeClaim | undefined): boolean => claim?.spec.accessModes?.includes('ReadWriteOncePod') ?? false
  function usesOf(claim: string): number {
    const users = podInformer.byIndex('claim', claim).filter(p => p.spec.nodeName && !isPodFinished(p)).length
    let soon = 0
    for (const keys of reserved.values()) if (keys.includes(claim)) soon++
    return users + soon
  }
  const shared = (known: OnePodClaims, pod: Pod): number => keysOf(pod).filter(k => known.keys.has(k)).length
  return {
    name: 'VolumeRestrictions',
    sign: unlessVolumes,
    events: [
      {
        kind: pods,
        action: Action.Delete,
        hint: (pod, old) => {
          const [own, gone] = [pod, old as Pod]
          if (pod.metadata.namespace === gone.metadata.namespace && keysOf(own).some(k => keysOf(gone).includes(k))) return true
          return (own.spec.volumes ?? []).some(v => gone.spec.volumes?.some(w => isConflict(v, w)))
        },
      },
      { kind: nodes, action: Action.Add },
      {
        kind: persistentVolumeClaims,
        action: Action.Add,
        hint: (pod, _, now) => keysOf(pod).includes(`${now?.metadata.namespace}/${now?.metadata.name}`),
      },
    ],
    preFilter(state, { pod }) {
      const { volumes } = pod.spec
      if (!volumes?.length) return skip
      const namespace = pod.metadata.namespace ?? ''
      const one: string[] = []
      for (const { name, ephemeral } of claimNames(pod)) {
        if (ephemeral) continue
        const claim = claims.get(namespace, name)
        if (!claim) return unresolvable(`persistentvolumeclaim ${JSON.stringify(name)} not found`)
        if (isForOnePod(claim)) one.push(`${namespace}/${name}`)
      }
      const keys = new Set(one)
      const uses = one.reduce((sum, k) => sum + usesOf(k), 0)
      if (uses === 0 && !volumes.some(namesDisk)) return skip
      state.set(key, new OnePodClaims(keys, uses))
      return undefined
    },
    addPod(state, _, { pod }) {
      const known = state.get(key)
      if (known) known.uses += shared(known, pod)
    },
    removePod(state, _, { pod }) {
      const known = state.get(key)
      if (known) known.uses -= shared(known, pod)
    },
    filter(state, { pod }, node) {
      if ((state.get(key)?.uses ?? 0) > 0) return onePodConflict
      for (const volume of pod.spec.volumes ?? []) {
        if (!namesDisk(volume)) continue
        for (const other of node.pods.values()) if (other.pod.spec.volumes?.some(v => isConflict(volume, v))) return diskConflict
      }
      return undefined
    },
    reserve(_, { pod, uid }) {
      const one = keysOf(pod).filter(k => isForOnePod(claims.get(k.slice(0, k.indexOf('/')), k.slice(k.indexOf('/') + 1))))
      if (one.length > 0) reserved.set(uid, one)
      return undefined
    },
    unreserve: (_, { uid }) => void reserved.delete(uid),
  }
}
