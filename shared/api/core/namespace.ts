/** core/v1 Namespace: a scope for names. https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/ */
import { list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { namespaces } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'

const namespaceCondition = obj('io.k8s.api.core.v1.NamespaceCondition', 'One aspect of the state of a namespace.', () => ({
  type: req(1, str(), { doc: 'Name of the aspect.', default: '' }),
  status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
  lastTransitionTime: opt(4, time(), { doc: 'When status last changed.' }),
  reason: opt(5, str(), { doc: 'One word for why.' }),
  message: opt(6, str(), { doc: 'Why, for people.' }),
}))
export type NamespaceCondition = Infer<typeof namespaceCondition>

const namespaceSpec = obj('io.k8s.api.core.v1.NamespaceSpec', 'What keeps a namespace.', () => ({
  finalizers: opt(1, list(str()), { doc: 'Who still has to clean up before the namespace goes.', listType: 'atomic' }),
}))

const namespaceStatus = obj('io.k8s.api.core.v1.NamespaceStatus', 'Where a namespace is in its life.', () => ({
  phase: opt(1, str(['Active', 'Terminating']), { doc: 'Active, or Terminating while its contents are deleted.' }),
  conditions: opt(2, list(namespaceCondition), { doc: 'How its deletion goes on.', listType: 'map', listMapKeys: ['type'], mergeKey: 'type', patchStrategy: 'merge' }),
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
  hasStatus: true,
})
