/**
 * snapshot.storage.k8s.io/v1: kinds that are CustomResourceDefinitions. https://github.com/kubernetes-csi/external-snapshotter client/apis
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'

export const snapshotGroup = 'snapshot.storage.k8s.io'

export interface SnapshotError {
  time?: string
  message?: string
}
export interface VolumeSnapshot extends KubeObject {
  spec: {
    source: { persistentVolumeClaimName?: string; volumeSnapshotContentName?: string }
    volumeSnapshotClassName?: string
  }
  status?: {
    boundVolumeSnapshotContentName?: string
    creationTime?: string
    readyToUse?: boolean
    restoreSize?: string
    error?: SnapshotError
  }
}
export interface VolumeSnapshotContent extends KubeObject {
  spec: {
    volumeSnapshotRef: { apiVersion?: string; kind?: string; namespace?: string; name?: string; uid?: string; resourceVersion?: string }
    deletionPolicy: 'Delete' | 'Retain'
    driver: string
    volumeSnapshotClassName?: string
    sourceVolumeMode?: string
    source: { volumeHandle?: string; snapshotHandle?: string }
  }
  status?: {
    snapshotHandle?: string
    /** ns since 1970. */
    creationTime?: number
    restoreSize?: number
    readyToUse?: boolean
    error?: SnapshotError
  }
}
export interface VolumeSnapshotClass extends KubeObject {
  driver: string
  parameters?: Record<string, string>
  deletionPolicy: 'Delete' | 'Retain'
}

const kind = <T>(name: string, plural: string, namespaced: boolean): Kind<T> =>
  ({ group: snapshotGroup, version: 'v1', kind: name, plural, namespaced }) as Kind<T>
export const volumeSnapshots = kind<VolumeSnapshot>('VolumeSnapshot', 'volumesnapshots', true)
export const volumeSnapshotContents = kind<VolumeSnapshotContent>('VolumeSnapshotContent', 'volumesnapshotcontents', false)
export const volumeSnapshotClasses = kind<VolumeSnapshotClass>('VolumeSnapshotClass', 'volumesnapshotclasses', false)
