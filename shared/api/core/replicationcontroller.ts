/** core/v1 ReplicationController: keeps a number of equal pods; the older form of a replica set. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { formatLabels, formatSelector, matchesLabels, selectorOfLabels } from '../../machinery/labels.ts'
import { int32, int64, list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { validateReadOnlyDisks, validateReplicaSetStatus } from '../apps/validation.ts'
import { scaleSubresource } from '../autoscaling/scale.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { replicationControllers } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateNonNegative } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { defaultPodTemplateSpec, podTemplateSpec, validatePodTemplateSpec, warningsForTemplate } from './podtemplate.ts'

const replicationControllerSpec = obj('io.k8s.api.core.v1.ReplicationControllerSpec', 'How many pods are wanted, and which.', () => ({
  replicas: opt(1, int32(), { doc: 'Wanted number of pods.', default: 1 }),
  minReadySeconds: opt(4, int32(), { doc: 'How long a pod must be ready before it counts as available.', default: 0 }),
  selector: opt(2, map(str()), { doc: 'Labels of its pods; those of the template when absent.', mapType: 'atomic' }),
  template: opt(3, podTemplateSpec, { doc: 'What the pods are made from; its restartPolicy is Always.' }),
}))
const replicationControllerCondition = conditionSchema(
  'io.k8s.api.core.v1.ReplicationControllerCondition',
  'One aspect of the state of a replication controller.',
  { tags: { lastTransitionTime: 3, reason: 4, message: 5 } },
)
const replicationControllerStatus = obj('io.k8s.api.core.v1.ReplicationControllerStatus', 'What the controller saw last.', () => ({
  replicas: req(1, int32(), { doc: 'Pods, without terminating ones.', default: 0 }),
  fullyLabeledReplicas: opt(2, int32(), { doc: 'Pods with all labels of the template.', pointer: false }),
  readyReplicas: opt(4, int32(), { doc: 'Ready pods.', pointer: false }),
  availableReplicas: opt(5, int32(), { doc: 'Pods that were ready for minReadySeconds.', pointer: false }),
  observedGeneration: opt(3, int64(), { doc: 'The generation that the controller saw.', pointer: false }),
  conditions: opt(6, list(replicationControllerCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))
const replicationControllerSchema = obj('io.k8s.api.core.v1.ReplicationController', 'Keeps a number of equal pods running.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, replicationControllerSpec, { doc: 'How many pods are wanted, and which.', default: {} }),
  status: opt(3, replicationControllerStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type ReplicationController = Stored<Infer<typeof replicationControllerSchema>>

export const replicationController = resource<ReplicationController>({
  ...replicationControllers,
  schema: replicationControllerSchema,
  singular: 'replicationcontroller',
  shortNames: ['rc'],
  categories: ['all'],
  hasStatus: true,
  deletion: { orphansDependents: true },
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
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: r => formatLabels(r.spec.selector) },
  ],
  fields: { 'status.replicas': r => String(r.status?.replicas ?? 0) },
  defaults: r => {
    const labels = r.spec.template?.metadata?.labels
    if (labels) {
      if (Object.keys(r.spec.selector ?? {}).length === 0) r.spec.selector = { ...labels }
      if (Object.keys(r.metadata.labels ?? {}).length === 0) r.metadata.labels = { ...labels }
    }
    if (r.spec.template) defaultPodTemplateSpec(r.spec.template)
  },
  prepareForCreate: r => {
    r.status = { replicas: 0 }
  },
  validate: (r, at) => validateSpec(r.spec, at.child('spec')),
  validateUpdate: (r, _, at, ctx) =>
    ctx.subresource === 'status' ? validateReplicaSetStatus(r.status ?? { replicas: 0 }, at.child('status')) : [],
  warnings: warningsForTemplate,
  scale: {
    replicas: r => r.spec.replicas ?? 0,
    status: r => r.status?.replicas ?? 0,
    selector: r => formatSelector(selectorOfLabels(r.spec.selector ?? {})),
    set: (r, replicas) => {
      r.spec.replicas = replicas
    },
  },
})

function validateSpec({ replicas, minReadySeconds, selector = {}, template }: ReplicationController['spec'], at: Path): FieldError[] {
  const errors = validateNonNegative(minReadySeconds, at.child('minReadySeconds'))
  const isEmpty = Object.keys(selector).length === 0
  if (isEmpty) errors.push(required(at.child('selector')))
  errors.push(...validateNonNegative(replicas, at.child('replicas')))
  const path = at.child('template')
  if (!template) return [...errors, required(path)]
  const labels = template.metadata?.labels
  if (!isEmpty && !matchesLabels(selectorOfLabels(selector), labels))
    errors.push(invalid(path.child('metadata', 'labels'), labels, '`selector` does not match template `labels`'))
  errors.push(...validatePodTemplateSpec(template, path))
  if ((replicas ?? 0) > 1) errors.push(...validateReadOnlyDisks(template, path.child('spec', 'volumes')))
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') errors.push(notSupported(path.child('spec', 'restartPolicy'), policy ?? '', ['Always']))
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(forbidden(path.child('spec', 'activeDeadlineSeconds'), 'activeDeadlineSeconds in ReplicationController is not Supported'))
  return errors
}
