/** apps/v1 Deployment: rolls out replica sets. https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ */
import { formatLabelSelector, formatSelector, selectorOf } from '../../machinery/labels.ts'
import { bool, int32, int64, intOrString, list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { scaleSubresource } from '../autoscaling/scale.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { defaultPodTemplateSpec, podTemplateSpec } from '../core/podtemplate.ts'
import { deployments } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import { warningsForTemplate } from '../core/podtemplate.ts'
import { validateDeployment, validateDeploymentStatus } from './validation.ts'

const rollingUpdateDeployment = obj('io.k8s.api.apps.v1.RollingUpdateDeployment', 'Limits of a rolling update.', () => ({
  maxUnavailable: opt(1, intOrString(), { doc: 'Pods that may be missing, a number or a percentage rounded down.', pointer: true }),
  maxSurge: opt(2, intOrString(), { doc: 'Pods that may be there in excess, a number or a percentage rounded up.', pointer: true }),
}))
const deploymentStrategy = obj('io.k8s.api.apps.v1.DeploymentStrategy', 'How old pods are replaced by new ones.', () => ({
  type: opt(1, str(['Recreate', 'RollingUpdate']), { doc: 'RollingUpdate, or Recreate: first all old ones go.' }),
  rollingUpdate: opt(2, rollingUpdateDeployment, { doc: 'Limits of a RollingUpdate.' }),
}))
const deploymentSpec = obj('io.k8s.api.apps.v1.DeploymentSpec', 'Which pods are wanted, how many, and how they are replaced.', () => ({
  replicas: opt(1, int32(), { doc: 'Wanted number of pods.' }),
  selector: req(2, labelSelector, { doc: 'Selects its pods; must match the labels of the template and cannot change.', pointer: true }),
  template: req(3, podTemplateSpec, { doc: 'What the pods are made from; its restartPolicy is Always.', default: {} }),
  strategy: opt(4, deploymentStrategy, { doc: 'How old pods are replaced.', default: {}, patchStrategy: 'retainKeys' }),
  minReadySeconds: opt(5, int32(), { doc: 'How long a pod must be ready before it counts as available.', pointer: false }),
  revisionHistoryLimit: opt(6, int32(), { doc: 'How many old replica sets are kept to roll back to.' }),
  paused: opt(7, bool(), { doc: 'Holds back every rollout.', pointer: false }),
  progressDeadlineSeconds: opt(9, int32(), { doc: 'How long a rollout may stand still before it counts as failed.' }),
}))
const deploymentCondition = conditionSchema('io.k8s.api.apps.v1.DeploymentCondition', 'One aspect of the state of a deployment.', {
  tags: { lastTransitionTime: 7, reason: 4, message: 5 },
  types: 'Available, Progressing or ReplicaFailure.',
  more: () => ({ lastUpdateTime: opt(6, time(), { doc: 'When the condition was last written.' }) }),
})
const deploymentStatus = obj('io.k8s.api.apps.v1.DeploymentStatus', 'What the controller saw last.', () => ({
  observedGeneration: opt(1, int64(), { doc: 'The generation that the controller saw.', pointer: false }),
  replicas: opt(2, int32(), { doc: 'Pods, without terminating ones.', pointer: false }),
  updatedReplicas: opt(3, int32(), { doc: 'Pods made from the current template.', pointer: false }),
  readyReplicas: opt(7, int32(), { doc: 'Ready pods.', pointer: false }),
  availableReplicas: opt(4, int32(), { doc: 'Pods that were ready for minReadySeconds.', pointer: false }),
  unavailableReplicas: opt(5, int32(), { doc: 'Pods still missing for full availability.', pointer: false }),
  terminatingReplicas: opt(9, int32(), { doc: 'Pods on their way out.' }),
  conditions: opt(6, list(deploymentCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  collisionCount: opt(8, int32(), { doc: 'How often the name of a new replica set was taken.' }),
}))
const deploymentSchema = obj('io.k8s.api.apps.v1.Deployment', 'Keeps pods running and rolls out new versions of them.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, deploymentSpec, { doc: 'Which pods are wanted, how many, and how they are replaced.', default: {} }),
  status: opt(3, deploymentStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type Deployment = Stored<Infer<typeof deploymentSchema>>
export type DeploymentCondition = Infer<typeof deploymentCondition>
export type DeploymentStatus = Infer<typeof deploymentStatus>

export const deployment = resource<Deployment>({
  ...deployments,
  schema: deploymentSchema,
  singular: 'deployment',
  shortNames: ['deploy'],
  categories: ['all'],
  hasStatus: true,
  statusKeeps: 'labels',
  statusResetFields: [['f:spec'], ['f:metadata', 'f:labels']],
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
      cell: d => `${d.status?.readyReplicas ?? 0}/${d.spec.replicas ?? 0}`,
    },
    { name: 'Up-to-date', type: 'string', doc: 'Pods made from the current template', cell: d => d.status?.updatedReplicas ?? 0 },
    { name: 'Available', type: 'string', doc: 'Pods that were ready for minReadySeconds', cell: d => d.status?.availableReplicas ?? 0 },
    ageColumn,
    containersColumn,
    imagesColumn,
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: d => formatLabelSelector(d.spec.selector) },
  ],
  defaults: ({ spec }) => {
    spec.replicas ??= 1
    spec.strategy ??= {}
    spec.strategy.type ||= 'RollingUpdate'
    if (spec.strategy.type === 'RollingUpdate') {
      spec.strategy.rollingUpdate ??= {}
      spec.strategy.rollingUpdate.maxUnavailable ??= '25%'
      spec.strategy.rollingUpdate.maxSurge ??= '25%'
    }
    spec.revisionHistoryLimit ??= 10
    spec.progressDeadlineSeconds ??= 600
    if (spec.template) defaultPodTemplateSpec(spec.template)
  },
  prepareForCreate: d => {
    d.status = {}
  },
  // Unlike other kinds': tools put what belongs to a rollout into annotations.
  prepareForUpdate: (d, old, ctx) => {
    if (ctx.subresource === '' && !semanticEqual(d.metadata.annotations, old.metadata.annotations))
      d.metadata.generation = (old.metadata.generation ?? 0) + 1
  },
  validate: (d, at) => validateDeployment(d, at.child('spec')),
  validateUpdate: (d, old, at, ctx) => {
    if (ctx.subresource === 'status') return validateDeploymentStatus(d.status ?? {}, old.status ?? {}, at.child('status'))
    return validateImmutable(d.spec.selector, old.spec.selector, at.child('spec', 'selector'))
  },
  warnings: warningsForTemplate,
  scale: {
    replicas: d => d.spec.replicas ?? 0,
    status: d => d.status?.replicas ?? 0,
    selector: d => formatSelector(selectorOf(d.spec.selector) ?? []),
    set: (d, replicas) => {
      d.spec.replicas = replicas
    },
  },
})
