/** core/v1 ComponentStatus: how the parts of the control plane are; asked of them when somebody lists, never stored. Deprecated. */
import { list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { nameColumn } from '../columns.ts'
import type { Resource } from '../resource.ts'

const componentCondition = obj('io.k8s.api.core.v1.ComponentCondition', 'One aspect of the state of a component.', () => ({
  type: req(1, str(), { doc: 'Healthy.', default: '' }),
  status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
  message: opt(3, str(), { doc: 'What the component answered.' }),
  error: opt(4, str(), { doc: 'Why it could not be asked.' }),
}))
const componentStatusSchema = obj('io.k8s.api.core.v1.ComponentStatus', 'How a part of the control plane is.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  conditions: opt(2, list(componentCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))
export type ComponentStatus = Stored<Infer<typeof componentStatusSchema>>

const healthy = (c: ComponentStatus) => c.conditions?.find(i => i.type === 'Healthy')

export const componentStatus: Resource<ComponentStatus> = {
  group: '',
  version: 'v1',
  kind: 'ComponentStatus',
  plural: 'componentstatuses',
  singular: 'componentstatus',
  namespaced: false,
  schema: componentStatusSchema,
  shortNames: ['cs'],
  verbs: ['get', 'list'],
  deprecated: 'v1 ComponentStatus is deprecated in v1.19+',
  columns: [
    nameColumn,
    {
      name: 'Status',
      type: 'string',
      doc: 'Status of the component conditions',
      cell: c => (({ True: 'Healthy', False: 'Unhealthy' }) as Record<string, string>)[healthy(c)?.status ?? ''] ?? 'Unknown',
    },
    { name: 'Message', type: 'string', doc: 'Message of the component conditions', cell: c => healthy(c)?.message ?? '' },
    { name: 'Error', type: 'string', doc: 'Error of the component conditions', cell: c => healthy(c)?.error ?? '' },
  ],
}
