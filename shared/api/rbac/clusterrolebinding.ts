/** rbac.authorization.k8s.io/v1 ClusterRoleBinding: gives a ClusterRole to subjects everywhere. */
import { list, obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { nameIsPathSegment } from '../../machinery/names.ts'
import { clusterRoleBindings } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { bindingColumns } from './columns.ts'
import { defaultBinding, roleRef, subject, validateBinding, validateBindingUpdate } from './subject.ts'

const clusterRoleBindingSchema = obj('io.k8s.api.rbac.v1.ClusterRoleBinding', 'Gives a ClusterRole to subjects everywhere.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  subjects: opt(2, list(subject), { doc: 'Who gets it.', listType: 'atomic' }),
  roleRef: req(3, roleRef, { doc: 'The role; cannot change.', default: {} }),
}))
export type ClusterRoleBinding = Stored<Infer<typeof clusterRoleBindingSchema>>

export const clusterRoleBinding = resource<ClusterRoleBinding>({
  ...clusterRoleBindings,
  schema: clusterRoleBindingSchema,
  singular: 'clusterrolebinding',
  allowCreateOnUpdate: true,
  columns: bindingColumns,
  validateName: nameIsPathSegment,
  defaults: defaultBinding,
  validate: (b, at) => validateBinding(b, false, at),
  validateUpdate: validateBindingUpdate,
})
