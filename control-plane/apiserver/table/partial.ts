/** Objects reduced to their metadata: meta.k8s.io PartialObjectMetadata, which informers of metadata and garbage collectors ask for. */
import type { KubeObject, ObjectMeta } from '#shared/api/meta/objectmeta.ts'

export interface PartialObjectMetadata {
  kind: 'PartialObjectMetadata'
  apiVersion: string
  metadata: ObjectMeta
}
export interface PartialObjectMetadataList {
  kind: 'PartialObjectMetadataList'
  apiVersion: string
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number }
  items: PartialObjectMetadata[]
}

/** `version` is that of meta.k8s.io: `v1` or `v1beta1`. The metadata is shared with the object. */
export const partialMetadata = (object: KubeObject, version = 'v1'): PartialObjectMetadata => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata,
})

export const partialMetadataList = (
  objects: readonly KubeObject[],
  metadata: PartialObjectMetadataList['metadata'],
  version = 'v1',
): PartialObjectMetadataList => ({
  kind: 'PartialObjectMetadataList',
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
  items: objects.map(object => partialMetadata(object, version)),
})
