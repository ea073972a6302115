/** apps/v1 DaemonSet: a pod on every node that fits. https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/ */
import { formatLabels, formatLabelSelector } from '../../machinery/labels.ts'
import { int32, int64, intOrString, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { defaultPodTemplateSpec, podTemplateSpec, warningsForTemplateInSpec } from '../core/podtemplate.ts'
import { daemonSets } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { validateDaemonSet, validateDaemonSetStatus } from './daemonsetvalidation.ts'

const rollingUpdateDaemonSet = obj('io.k8s.api.apps.v1.RollingUpdateDaemonSet', 'Limits of a rolling update.', () => ({
  maxUnavailable: opt(1, intOrString(), { doc: 'Nodes whose pod may be missing, a number or a percentage rounded up.', pointer: true }),
  maxSurge: opt(2, intOrString(), { doc: 'Nodes that may have a new pod beside the old one, a number or a percentage.', pointer: true }),
}))
const daemonSetUpdateStrategy = obj('io.k8s.api.apps.v1.DaemonSetUpdateStrategy', 'How old pods are replaced by new ones.', () => ({
  type: opt(1, str(['OnDelete', 'RollingUpdate']), { doc: 'RollingUpdate, or OnDelete: somebody else deletes the old ones.' }),
  rollingUpdate: opt(2, rollingUpdateDaemonSet, { doc: 'Limits of a RollingUpdate.' }),
}))
const daemonSetSpec = obj('io.k8s.api.apps.v1.DaemonSetSpec', 'Which pods are wanted on the nodes, and how they are replaced.', () => ({
  selector: req(1, labelSelector, { doc: 'Selects its pods; must match the labels of the template and cannot change.', pointer: true }),
  template: req(2, podTemplateSpec, { doc: 'What the pods are made from, and on which nodes; its restartPolicy is Always.', default: {} }),
  updateStrategy: opt(3, daemonSetUpdateStrategy, { doc: 'How old pods are replaced.', default: {} }),
  minReadySeconds: opt(4, int32(), { doc: 'How long a pod must be ready before it counts as available.', pointer: false }),
  revisionHistoryLimit: opt(6, int32(), { doc: 'How many old revisions are kept to roll back to.' }),
}))
const daemonSetCondition = conditionSchema('io.k8s.api.apps.v1.DaemonSetCondition', 'One aspect of the state of a daemon set.', {
  tags: { lastTransitionTime: 3, reason: 4, message: 5 },
})
const daemonSetStatus = obj('io.k8s.api.apps.v1.DaemonSetStatus', 'What the controller saw last.', () => ({
  currentNumberScheduled: req(1, int32(), { doc: 'Nodes that have a pod and should.', default: 0 }),
  numberMisscheduled: req(2, int32(), { doc: 'Nodes that have a pod and should not.', default: 0 }),
  desiredNumberScheduled: req(3, int32(), { doc: 'Nodes that should have a pod.', default: 0 }),
  numberReady: req(4, int32(), { doc: 'Nodes whose pod is ready.', default: 0 }),
  observedGeneration: opt(5, int64(), { doc: 'The generation that the controller saw.', pointer: false }),
  updatedNumberScheduled: opt(6, int32(), { doc: 'Nodes whose pod is made from the current template.', pointer: false }),
  numberAvailable: opt(7, int32(), { doc: 'Nodes whose pod was ready for minReadySeconds.', pointer: false }),
  numberUnavailable: opt(8, int32(), { doc: 'Nodes still missing such a pod.', pointer: false }),
  collisionCount: opt(9, int32(), { doc: 'How often the name of a new revision was taken.' }),
  conditions: opt(10, list(daemonSetCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))
const daemonSetSchema = obj('io.k8s.api.apps.v1.DaemonSet', 'Keeps one pod running on every node that fits.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, daemonSetSpec, { doc: 'Which pods are wanted on the nodes, and how they are replaced.', default: {} }),
  status: opt(3, daemonSetStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type DaemonSet = Stored<Infer<typeof daemonSetSchema>>
export type DaemonSetStatus = Infer<typeof daemonSetStatus>

const noStatus = (): DaemonSetStatus => ({ currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 })

/** Where apps/v1 keeps `templateGeneration`, which counts the changes of the template and is the server's alone. */
const templateGenerationAnnotation = 'deprecated.daemonset.template.generation'
const templateGeneration = ({ metadata }: DaemonSet): number => {
  const text = metadata.annotations?.[templateGenerationAnnotation] ?? ''
  return /^[+-]?\d+$/.test(text) ? Number(text) : 0
}
function setTemplateGeneration(d: DaemonSet, generation: number): void {
  d.metadata.annotations = { ...d.metadata.annotations, [templateGenerationAnnotation]: String(generation) }
}

export const daemonSet = resource<DaemonSet>({
  ...daemonSets,
  schema: daemonSetSchema,
  singular: 'daemonset',
  shortNames: ['ds'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Desired', type: 'integer', doc: 'Nodes that should have a pod', cell: d => d.status?.desiredNumberScheduled ?? 0 },
    { name: 'Current', type: 'integer', doc: 'Nodes that have one', cell: d => d.status?.currentNumberScheduled ?? 0 },
    { name: 'Ready', type: 'integer', doc: 'Nodes whose pod is ready', cell: d => d.status?.numberReady ?? 0 },
    {
      name: 'Up-to-date',
      type: 'integer',
      doc: 'Nodes whose pod is made from the current template',
      cell: d => d.status?.updatedNumberScheduled ?? 0,
    },
    { name: 'Available', type: 'integer', doc: 'Nodes whose pod was ready for minReadySeconds', cell: d => d.status?.numberAvailable ?? 0 },
    { name: 'Node Selector', type: 'string', doc: 'Labels of the nodes', cell: d => formatLabels(d.spec.template?.spec?.nodeSelector) },
    ageColumn,
    containersColumn,
    imagesColumn,
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: d => formatLabelSelector(d.spec.selector) },
  ],
  defaults: ({ spec }) => {
    spec.updateStrategy ??= {}
    spec.updateStrategy.type ||= 'RollingUpdate'
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {}
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0
    }
    spec.revisionHistoryLimit ??= 10
    if (spec.template) defaultPodTemplateSpec(spec.template)
  },
  prepareForCreate: d => {
    d.status = noStatus()
    setTemplateGeneration(d, Math.max(templateGeneration(d), 1))
  },
  prepareForUpdate: (d, old) => {
    const changed = !semanticEqual(d.spec.template, old.spec.template)
    setTemplateGeneration(d, templateGeneration(old) + (changed ? 1 : 0))
  },
  validate: (d, at) => validateDaemonSet(d, at.child('spec')),
  validateUpdate: (d, old, at, ctx) => {
    if (ctx.subresource === 'status') return validateDaemonSetStatus(d.status ?? noStatus(), old.status ?? noStatus(), at.child('status'))
    return validateImmutable(d.spec.selector, old.spec.selector, at.child('spec', 'selector'))
  },
  warnings: warningsForTemplateInSpec,
})
