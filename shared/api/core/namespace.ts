/** core/v1 Namespace: a scope for names. https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/ */
import { invalid, type Path } from '../../machinery/field.ts'
import { nameIsDNSLabel } from '../../machinery/names.ts'
import { list, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { namespaces } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateFinalizerName, validateKubeFinalizerName } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const namespaceCondition = conditionSchema('io.k8s.api.core.v1.NamespaceCondition', 'One aspect of the state of a namespace.', {
  tags: { lastTransitionTime: 4, reason: 5, message: 6 },
})
export type NamespaceCondition = Infer<typeof namespaceCondition>

const namespaceSpec = obj('io.k8s.api.core.v1.NamespaceSpec', 'What keeps a namespace.', () => ({
  finalizers: opt(1, list(str()), { doc: 'Who still has to clean up before the namespace goes.', listType: 'atomic' }),
}))

const namespaceStatus = obj('io.k8s.api.core.v1.NamespaceStatus', 'Where a namespace is in its life.', () => ({
  phase: opt(1, str(['Active', 'Terminating']), { doc: 'Active, or Terminating while its contents are deleted.' }),
  conditions: opt(2, list(namespaceCondition), {
    doc: 'How its deletion goes on.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))

const namespaceSchema = obj('io.k8s.api.core.v1.Namespace', 'A scope for names; deleting it deletes what it holds.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, namespaceSpec, { doc: 'What keeps the namespace.', default: {} }),
  status: opt(3, namespaceStatus, { doc: 'Where it is in its life.', default: {} }),
}))
export type Namespace = Stored<Infer<typeof namespaceSchema>>

export const namespace = resource<Namespace>({
  ...namespaces,
  schema: namespaceSchema,
  singular: 'namespace',
  shortNames: ['ns'],
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] }, finalize: { verbs: ['update'] } },
  columns: [
    nameColumn,
    { name: 'Status', type: 'string', doc: 'The status of the namespace', cell: n => n.status?.phase ?? '' },
    ageColumn,
  ],
  fields: { 'status.phase': n => n.status?.phase ?? '' },
  validateName: nameIsDNSLabel,
  deletion: {
    steps: { begin: n => (n.status = { ...n.status, phase: 'Terminating' }), pending: n => (n.spec?.finalizers?.length ?? 0) > 0 },
    answersWithObject: true,
  },
  nameDefaults: n => (n.metadata.labels = { ...n.metadata.labels, 'kubernetes.io/metadata.name': n.metadata.name! }),
  defaults: n => {
    n.status ??= {}
    n.status.phase ??= 'Active'
  },
  prepareForCreate: n => {
    n.status = { phase: 'Active' }
    if (!n.spec.finalizers?.includes('kubernetes')) n.spec.finalizers = [...(n.spec.finalizers ?? []), 'kubernetes']
  },
  // Finalizers change through the finalize subresource only.
  prepareForUpdate: (n, old, ctx) => {
    if (ctx.subresource !== 'finalize') n.spec.finalizers = old.spec.finalizers
  },
  validate: (n, at) =>
    (n.spec.finalizers ?? []).flatMap(f => [
      ...validateFinalizerName(f, at.child('spec', 'finalizers')),
      ...validateKubeFinalizerName(f, at.child('spec', 'finalizers')),
    ]),
  validateUpdate: (n, _old, at, ctx) => (ctx.subresource === 'status' ? validatePhase(n, at) : []),
})

function validatePhase(n: Namespace, at: Path) {
  const phase = n.status?.phase ?? ''
  const want = n.metadata.deletionTimestamp ? 'Terminating' : 'Active'
  if (phase === want) return []
  const when = n.metadata.deletionTimestamp ? 'is not empty' : 'is empty'
  return [invalid(at.child('status', 'Phase'), phase, `may only be '${want}' if \`deletionTimestamp\` ${when}`)]
}
