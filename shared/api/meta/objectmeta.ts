/**
 * metav1.ObjectMeta and what every stored object has. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
 */
import { any, bool, int64, list, map, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'

export const ownerReference = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference',
  'Names an object that owns this one, in the same namespace or cluster-scoped; when all owners are gone, this object is collected.',
  () => ({
    apiVersion: req(5, str(), { doc: 'API version of the owner.' }),
    kind: req(1, str(), { doc: 'Kind of the owner.' }),
    name: req(3, str(), { doc: 'Name of the owner.' }),
    uid: req(4, str(), { doc: 'UID of the owner.' }),
    controller: opt(6, bool(), { doc: 'Whether the owner is the controller that manages this object.' }),
    blockOwnerDeletion: opt(7, bool(), { doc: 'Whether a foreground deletion of the owner waits for this object.' }),
  }),
  { atomic: true },
)
export type OwnerReference = Infer<typeof ownerReference>

export const managedFieldsEntry = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry',
  'The fields that one manager set with one operation.',
  () => ({
    manager: opt(1, str(), { doc: 'Who set the fields.' }),
    operation: opt(2, str(), { doc: 'Apply or Update.' }),
    apiVersion: opt(3, str(), { doc: 'The version of the resource that the field set is in.' }),
    time: opt(4, time(), { doc: 'When the entry last changed.', pointer: true }),
    fieldsType: opt(6, str(), { doc: 'Always FieldsV1.' }),
    fieldsV1: opt(7, any(), { doc: 'The set of fields.' }),
    subresource: opt(8, str(), { doc: 'The subresource the fields were set through, if any.' }),
  }),
)
export type ManagedFieldsEntry = Infer<typeof managedFieldsEntry>

export const objectMeta = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
  "Standard object's metadata, which every stored object carries: identity, labels, ownership, life cycle.",
  () => ({
    name: opt(1, str(), { doc: 'Unique within the namespace and kind; cannot change.' }),
    generateName: opt(2, str(), { doc: 'Prefix from which the server makes a unique name when name is empty.' }),
    namespace: opt(3, str(), { doc: 'The namespace of the object; empty for cluster-scoped kinds.' }),
    selfLink: opt(4, str(), { doc: 'No longer set.' }),
    uid: opt(5, str(), { doc: 'Unique over time and space; set by the server.' }),
    resourceVersion: opt(6, str(), { doc: 'Opaque version for optimistic concurrency and watches; set by the server.' }),
    generation: opt(7, int64(), { doc: 'Counts changes of the desired state; set by the server.', pointer: false }),
    creationTimestamp: opt(8, time(), { doc: 'CreationTimestamp is a timestamp of when the object was created; set by the server.' }),
    deletionTimestamp: opt(9, time(), {
      doc: 'When the object will be gone, once a graceful deletion was asked for; set by the server.',
      pointer: true,
    }),
    deletionGracePeriodSeconds: opt(10, int64(), { doc: 'Seconds the object may take to terminate; set together with deletionTimestamp.' }),
    labels: opt(11, map(str()), { doc: 'Keys and values to organise and select objects by.' }),
    annotations: opt(12, map(str()), { doc: 'Unstructured keys and values for tools.' }),
    ownerReferences: opt(13, list(ownerReference), {
      doc: 'Objects this one depends on.',
      listType: 'map',
      listMapKeys: ['uid'],
      mergeKey: 'uid',
      patchStrategy: 'merge',
    }),
    finalizers: opt(14, list(str()), {
      doc: 'Must be empty before the object is removed from the registry.',
      listType: 'set',
      patchStrategy: 'merge',
    }),
    managedFields: opt(17, list(managedFieldsEntry), { doc: 'Which manager set which fields; kept by the server.', listType: 'atomic' }),
  }),
)
export type ObjectMeta = Infer<typeof objectMeta>

/** Any stored object, as the machinery sees it. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  [field: string]: unknown
}

/** `apiVersion` and `kind`, to spread into every top-level kind's fields. They have no protobuf field: the envelope carries them. */
export const typeMeta = () => ({
  apiVersion: opt(0, str(), { doc: 'Versioned schema of this object, group/version.' }),
  kind: opt(0, str(), { doc: 'The kind of this object.' }),
})

/**
 * What the server hands out for a top-level schema type: its own kind, version and metadata are always there, and `spec` where the kind has
 * one.
 */
export type Stored<T> = Omit<T, 'apiVersion' | 'kind' | 'metadata' | 'spec'> & {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
} & ('spec' extends keyof T ? { spec: NonNullable<T['spec']> } : unknown)
