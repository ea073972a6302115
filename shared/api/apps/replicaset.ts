/** apps/v1 ReplicaSet: keeps a number of equal pods. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/ */
import { formatLabelSelector, formatSelector, selectorOf } from '../../machinery/labels.ts'
import { int32, int64, list, obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { scaleSubresource } from '../autoscaling/scale.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { defaultPodTemplateSpec, podTemplateSpec } from '../core/podtemplate.ts'
import { replicaSets } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { warningsForTemplate } from '../core/podtemplate.ts'
import { validateImmutable } from '../meta/validation.ts'
import { validateReplicaSet, validateReplicaSetStatus } from './validation.ts'

const replicaSetSpec = obj('io.k8s.api.apps.v1.ReplicaSetSpec', 'How many pods are wanted, and which.', () => ({
  replicas: opt(1, int32(), { doc: 'Wanted number of pods.' }),
  minReadySeconds: opt(4, int32(), { doc: 'How long a pod must be ready before it counts as available.', pointer: false }),
  selector: req(2, labelSelector, { doc: 'Selects its pods; must match the labels of the template and cannot change.', pointer: true }),
  template: opt(3, podTemplateSpec, { doc: 'What the pods are made from.', default: {} }),
}))
const replicaSetCondition = conditionSchema('io.k8s.api.apps.v1.ReplicaSetCondition', 'One aspect of the state of a replica set.', {
  tags: { lastTransitionTime: 3, reason: 4, message: 5 },
})
const replicaSetStatus = obj('io.k8s.api.apps.v1.ReplicaSetStatus', 'What the controller saw last.', () => ({
  replicas: req(1, int32(), { doc: 'Pods, without terminating ones.', default: 0 }),
  fullyLabeledReplicas: opt(2, int32(), { doc: 'Pods with all labels of the template.', pointer: false }),
  readyReplicas: opt(4, int32(), { doc: 'Ready pods.', pointer: false }),
  availableReplicas: opt(5, int32(), { doc: 'Pods that were ready for minReadySeconds.', pointer: false }),
  terminatingReplicas: opt(7, int32(), { doc: 'Pods on their way out.' }),
  observedGeneration: opt(3, int64(), { doc: 'The generation that the controller saw.', pointer: false }),
  conditions: opt(6, list(replicaSetCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))
const replicaSetSchema = obj('io.k8s.api.apps.v1.ReplicaSet', 'Keeps a number of equal pods running.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, replicaSetSpec, { doc: 'How many pods are wanted, and which.', default: {} }),
  status: opt(3, replicaSetStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type ReplicaSet = Stored<Infer<typeof replicaSetSchema>>
export type ReplicaSetCondition = Infer<typeof replicaSetCondition>

export const replicaSet = resource<ReplicaSet>({
  ...replicaSets,
  schema: replicaSetSchema,
  singular: 'replicaset',
  shortNames: ['rs'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: {
    status: { verbs: ['get', 'patch', 'update'] },
    scale: scaleSubresource,
  },
  columns: [
    nameColumn,
    { name: 'Desired', type: 'integer', doc: 'How many pods are wanted', cell: r => r.spec.replicas ?? 0 },
    { name: 'Current', type: 'integer', doc: 'How many there are', cell: r => r.status?.replicas ?? 0 },
    { name: 'Ready', type: 'integer', doc: 'How many are ready', cell: r => r.status?.readyReplicas ?? 0 },
    ageColumn,
    containersColumn,
    imagesColumn,
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: r => formatLabelSelector(r.spec.selector) },
  ],
  fields: { 'status.replicas': r => String(r.status?.replicas ?? 0) },
  defaults: r => {
    r.spec.replicas ??= 1
    if (r.spec.template) defaultPodTemplateSpec(r.spec.template)
  },
  prepareForCreate: r => {
    r.status = { replicas: 0 }
  },
  validate: (r, at) => validateReplicaSet(r, at.child('spec')),
  validateUpdate: (r, old, at, ctx) => {
    if (ctx.subresource === 'status') return validateReplicaSetStatus(r.status ?? { replicas: 0 }, at.child('status'))
    return validateImmutable(r.spec.selector, old.spec.selector, at.child('spec', 'selector'))
  },
  warnings: warningsForTemplate,
  scale: {
    replicas: r => r.spec.replicas ?? 0,
    status: r => r.status?.replicas ?? 0,
    selector: r => formatSelector(selectorOf(r.spec.selector) ?? []),
    set: (r, replicas) => {
      r.spec.replicas = replicas
    },
  },
})
