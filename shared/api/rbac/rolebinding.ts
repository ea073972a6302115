/** rbac.authorization.k8s.io/v1 RoleBinding: gives a role to subjects in one namespace. */
import { list, obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { nameIsPathSegment } from '../../machinery/names.ts'
import { roleBindings } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { bindingColumns } from './columns.ts'
import { defaultBinding, roleRef, subject, validateBinding, validateBindingUpdate } from './subject.ts'

const roleBindingSchema = obj('io.k8s.api.rbac.v1.RoleBinding', 'Gives a role to subjects in one namespace.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  subjects: opt(2, list(subject), { doc: 'Who gets it.', listType: 'atomic' }),
  roleRef: req(3, roleRef, { doc: 'The role; cannot change.', default: {} }),
}))
export type RoleBinding = Stored<Infer<typeof roleBindingSchema>>

export const roleBinding = resource<RoleBinding>({
  ...roleBindings,
  schema: roleBindingSchema,
  singular: 'rolebinding',
  allowCreateOnUpdate: true,
  columns: bindingColumns,
  validateName: nameIsPathSegment,
  defaults: defaultBinding,
  validate: (b, at) => validateBinding(b, true, at),
  validateUpdate: validateBindingUpdate,
})
