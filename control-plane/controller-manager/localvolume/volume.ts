/** Volumes that are directories or devices of a node: what claims get, and how a volume is written down. */
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { pvProtection } from '#shared/api/storage/finalizers.ts'
import { provisionedBy } from '#shared/storage/annotations.ts'

export const provisionerName = 'coxswain.io/local'
export const hostnameLabel = 'kubernetes.io/hostname'
/** Keeps a volume that is deleted before its claim until its directory is gone. The name that external provisioners use. */
export const finalizer = 'external-provisioner.volume.kubernetes.io/finalizer'

/** The parameter of a class whose volumes can hold no more than their capacity. */
export const enforceCapacity = 'enforceCapacity'
export const isBlock = ({ spec }: PersistentVolumeClaim): boolean => spec.volumeMode === 'Block'
/** What the node is asked for: `directory`, of which the size is not limited, `filesystem` or `device`. */
export function formOf(claim: PersistentVolumeClaim, { parameters }: StorageClass): string {
  if (isBlock(claim)) return 'device'
  return parameters?.[enforceCapacity] === 'true' ? 'filesystem' : 'directory'
}

export const volumeName = (claim: PersistentVolumeClaim): string => `pvc-${claim.metadata.uid}`
/** The UID of the claim that a directory was made for. */
export const claimUid = (volume: string): string => volume.replace(/^pvc-/, '')

/** Why no directory and no device can be what the claim asks for; undefined when one can. */
export function refusal({ spec }: PersistentVolumeClaim, { parameters }: StorageClass): string | undefined {
  const unknown = Object.keys(parameters ?? {}).find(name => name !== enforceCapacity)
  if (unknown !== undefined) return `unknown parameter ${JSON.stringify(unknown)}`
  if (spec.dataSource || spec.dataSourceRef) return 'data sources are not supported'
  const shared = (spec.accessModes ?? []).find(mode => mode !== 'ReadWriteOnce' && mode !== 'ReadWriteOncePod')
  if (shared) return `access mode ${shared} is not supported: a local volume is of one node (ReadWriteOnce, ReadWriteOncePod)`
  return undefined
}

export function localVolume(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: Node,
  path: string,
  capacity: string,
): PersistentVolume {
  const { namespace, name, uid, resourceVersion } = claim.metadata
  const host = node.metadata.labels?.[hostnameLabel] ?? node.metadata.name ?? ''
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name: volumeName(claim),
      annotations: { [provisionedBy]: provisionerName },
      finalizers: [finalizer, pvProtection],
    },
    spec: {
      capacity: { storage: capacity },
      accessModes: claim.spec.accessModes,
      claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion },
      persistentVolumeReclaimPolicy: (storageClass.reclaimPolicy ?? 'Delete') as 'Delete' | 'Retain',
      storageClassName: storageClass.metadata.name,
      ...(storageClass.mountOptions && !isBlock(claim) ? { mountOptions: storageClass.mountOptions } : {}),
      volumeMode: claim.spec.volumeMode ?? 'Filesystem',
      local: { path },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [{ key: hostnameLabel, operator: 'In', values: [host] }] }] },
      },
    },
  }
}

/** The value of the host name label of the node that a volume is on. */
export const hostOf = ({ spec }: PersistentVolume): string =>
  spec.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions?.find(e => e.key === hostnameLabel)?.values?.[0] ?? ''
export const isOurs = ({ metadata }: PersistentVolume): boolean => metadata.annotations?.[provisionedBy] === provisionerName
/** Whether its directory is to go. */
export const isToBeDeleted = ({ spec, status }: PersistentVolume): boolean =>
  spec.persistentVolumeReclaimPolicy === 'Delete' && (status?.phase === 'Released' || status?.phase === 'Failed')
