/** apps/v1 StatefulSet: pods with names and storage of their own. https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ */
import { Path } from '../../machinery/field.ts'
import { formatSelector, selectorOf } from '../../machinery/labels.ts'
import { int32, int64, intOrString, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { nameIsDNSLabel } from '../../machinery/names.ts'
import { scaleSubresource } from '../autoscaling/scale.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { persistentVolumeClaimSchema } from '../core/persistentvolumeclaim.ts'
import { warningsForPersistentVolumeClaimSpec } from '../core/persistentvolumeclaimspecvalidation.ts'
import { defaultPodTemplateSpec, podTemplateSpec, warningsForTemplateInSpec } from '../core/podtemplate.ts'
import { statefulSets } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateStatefulSet, validateStatefulSetStatus, validateStatefulSetUpdate } from './statefulsetvalidation.ts'

const rollingUpdateStatefulSetStrategy = obj('io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy', 'Limits of a rolling update.', () => ({
  partition: opt(1, int32(), { doc: 'Pods with a lower ordinal are left as they are.' }),
  maxUnavailable: opt(2, intOrString(), { doc: 'Pods that may be missing, a number or a percentage rounded up.', pointer: true }),
}))
const statefulSetUpdateStrategy = obj('io.k8s.api.apps.v1.StatefulSetUpdateStrategy', 'How old pods are replaced by new ones.', () => ({
  type: opt(1, str(['OnDelete', 'RollingUpdate']), { doc: 'RollingUpdate, or OnDelete: somebody else deletes the old ones.' }),
  rollingUpdate: opt(2, rollingUpdateStatefulSetStrategy, { doc: 'Limits of a RollingUpdate.' }),
}))
const statefulSetPersistentVolumeClaimRetentionPolicy = obj(
  'io.k8s.api.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy',
  'What becomes of the claims of pods that are wanted no more.',
  () => ({
    whenDeleted: opt(1, str(['Delete', 'Retain']), { doc: 'When the set is deleted: Retain or Delete.' }),
    whenScaled: opt(2, str(['Delete', 'Retain']), { doc: 'When the set shrinks: Retain or Delete.' }),
  }),
)
const statefulSetOrdinals = obj('io.k8s.api.apps.v1.StatefulSetOrdinals', 'How the pods are numbered.', () => ({
  start: opt(1, int32(), { doc: 'Number of the first pod.', default: 0, keepsEmpty: true }),
}))
const statefulSetSpec = obj('io.k8s.api.apps.v1.StatefulSetSpec', 'Which pods are wanted, how many, and with which storage.', () => ({
  replicas: opt(1, int32(), { doc: 'Wanted number of pods.' }),
  selector: req(2, labelSelector, { doc: 'Selects its pods; must match the labels of the template and cannot change.', pointer: true }),
  template: req(3, podTemplateSpec, { doc: 'What the pods are made from; its restartPolicy is Always.', default: {} }),
  volumeClaimTemplates: opt(4, list(persistentVolumeClaimSchema), {
    doc: 'Claims that each pod has of its own; they come before volumes of the same name.',
    listType: 'atomic',
  }),
  serviceName: opt(5, str(), { doc: 'The service that gives the pods their names in DNS.', default: '', keepsEmpty: true }),
  podManagementPolicy: opt(6, str(['OrderedReady', 'Parallel']), {
    doc: 'OrderedReady: one after the other, each when that before it is ready; or Parallel.',
  }),
  updateStrategy: opt(7, statefulSetUpdateStrategy, { doc: 'How old pods are replaced.', default: {} }),
  revisionHistoryLimit: opt(8, int32(), { doc: 'How many old revisions are kept to roll back to.' }),
  minReadySeconds: opt(9, int32(), { doc: 'How long a pod must be ready before it counts as available.', pointer: false }),
  persistentVolumeClaimRetentionPolicy: opt(10, statefulSetPersistentVolumeClaimRetentionPolicy, {
    doc: 'What becomes of the claims of pods that are wanted no more.',
  }),
  ordinals: opt(11, statefulSetOrdinals, { doc: 'How the pods are numbered.' }),
}))
const statefulSetCondition = conditionSchema('io.k8s.api.apps.v1.StatefulSetCondition', 'One aspect of the state of a stateful set.', {
  tags: { lastTransitionTime: 3, reason: 4, message: 5 },
})
const statefulSetStatus = obj('io.k8s.api.apps.v1.StatefulSetStatus', 'What the controller saw last.', () => ({
  observedGeneration: opt(1, int64(), { doc: 'The generation that the controller saw.', pointer: false }),
  replicas: req(2, int32(), { doc: 'Pods that were made.', default: 0 }),
  readyReplicas: opt(3, int32(), { doc: 'Ready pods.', pointer: false }),
  currentReplicas: opt(4, int32(), { doc: 'Pods of the current revision.', pointer: false }),
  updatedReplicas: opt(5, int32(), { doc: 'Pods of the revision that is rolled out.', pointer: false }),
  currentRevision: opt(6, str(), { doc: 'The revision of the first pods.' }),
  updateRevision: opt(7, str(), { doc: 'The revision of the last pods.' }),
  collisionCount: opt(9, int32(), { doc: 'How often the name of a new revision was taken.' }),
  conditions: opt(10, list(statefulSetCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  availableReplicas: opt(11, int32(), { doc: 'Pods that were ready for minReadySeconds.', default: 0, keepsEmpty: true }),
}))
const statefulSetSchema = obj('io.k8s.api.apps.v1.StatefulSet', 'Keeps pods running that have a name and storage of their own.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, statefulSetSpec, { doc: 'Which pods are wanted, how many, and with which storage.', default: {} }),
  status: opt(3, statefulSetStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type StatefulSet = Stored<Infer<typeof statefulSetSchema>>
export type StatefulSetStatus = Infer<typeof statefulSetStatus>

function defaults({ spec }: StatefulSet): void {
  spec.podManagementPolicy ||= 'OrderedReady'
  spec.updateStrategy ??= {}
  if (!spec.updateStrategy.type) {
    spec.updateStrategy.type = 'RollingUpdate'
    spec.updateStrategy.rollingUpdate ??= {}
  }
  const { type, rollingUpdate } = spec.updateStrategy
  if (type === 'RollingUpdate' && rollingUpdate) {
    rollingUpdate.partition ??= 0
    rollingUpdate.maxUnavailable ??= 1
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {}
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain'
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain'
  spec.replicas ??= 1
  spec.revisionHistoryLimit ??= 10
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = 'v1'
    claim.kind = 'PersistentVolumeClaim'
    claim.status ??= {}
    claim.status.phase ||= 'Pending'
  }
  if (spec.template) defaultPodTemplateSpec(spec.template)
}

function warnings(s: StatefulSet, old: StatefulSet | undefined): string[] {
  const at = new Path('spec').child('volumeClaimTemplates')
  // Upstream names the claim's spec on a change only, and with a capital.
  const claims = (s.spec.volumeClaimTemplates ?? []).flatMap((claim, i) =>
    warningsForPersistentVolumeClaimSpec(claim.spec ?? {}, old ? at.index(i).child('Spec') : at.index(i)),
  )
  return [
    ...warningsForTemplateInSpec(s, old),
    ...claims,
    ...((s.spec.revisionHistoryLimit ?? 0) < 0
      ? ['spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended']
      : []),
  ]
}

const noStatus = (): StatefulSetStatus => ({ replicas: 0, availableReplicas: 0 })

export const statefulSet = resource<StatefulSet>({
  ...statefulSets,
  schema: statefulSetSchema,
  singular: 'statefulset',
  shortNames: ['sts'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: {
    status: { verbs: ['get', 'patch', 'update'] },
    scale: scaleSubresource,
  },
  columns: [
    nameColumn,
    {
      name: 'Ready',
      type: 'string',
      doc: 'Ready pods of those wanted',
      cell: s => `${s.status?.readyReplicas ?? 0}/${s.spec.replicas ?? 0}`,
    },
    ageColumn,
    containersColumn,
    imagesColumn,
  ],
  validateName: nameIsDNSLabel,
  defaults,
  prepareForCreate: s => {
    s.status = noStatus()
  },
  validate: (s, at) => validateStatefulSet(s, at.child('spec')),
  validateUpdate: (s, old, at, ctx) =>
    ctx.subresource === 'status'
      ? validateStatefulSetStatus(s.status ?? noStatus(), old.status ?? noStatus(), at.child('status'))
      : validateStatefulSetUpdate(s.spec, old.spec, at.child('spec')),
  warnings,
  scale: {
    replicas: s => s.spec.replicas ?? 0,
    status: s => s.status?.replicas ?? 0,
    selector: s => formatSelector(selectorOf(s.spec.selector) ?? []),
    set: (s, replicas) => {
      s.spec.replicas = replicas
    },
  },
})
