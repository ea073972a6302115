/** apps/v1 ControllerRevision: a state of a stateful or daemon set to which it can be rolled back; its data never change. */
import { required } from '../../machinery/field.ts'
import { any, int64, obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { controllerRevisions } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable, validateNonNegative } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const controllerRevisionSchema = obj('io.k8s.api.apps.v1.ControllerRevision', 'A recorded state of a controller.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  data: opt(2, any(), { doc: 'The state.' }),
  revision: req(3, int64(), { doc: 'Orders the states of one controller.', default: 0 }),
}))
export type ControllerRevision = Stored<Infer<typeof controllerRevisionSchema>>

/** `statefulset.apps/web`. */
function controllerText({ metadata }: ControllerRevision): string {
  const owner = metadata.ownerReferences?.find(r => r.controller)
  if (!owner) return '<none>'
  const group = owner.apiVersion.includes('/') ? owner.apiVersion.split('/')[0] : ''
  return `${`${owner.kind}${group ? `.${group}` : ''}`.toLowerCase()}/${owner.name}`
}

export const controllerRevision = resource<ControllerRevision>({
  ...controllerRevisions,
  schema: controllerRevisionSchema,
  singular: 'controllerrevision',
  columns: [
    nameColumn,
    { name: 'Controller', type: 'string', doc: 'Controller of the object', cell: controllerText },
    { name: 'Revision', type: 'string', doc: 'Orders the states of one controller', cell: r => r.revision },
    ageColumn,
  ],
  validate: (r, at) => [
    ...(r.data === undefined || r.data === null ? [required(at.child('data'), 'data is mandatory')] : []),
    ...validateNonNegative(r.revision, at.child('revision')),
  ],
  validateUpdate: (r, old, at) => validateImmutable(r.data, old.data, at.child('data')),
})
