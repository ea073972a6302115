/** storage.k8s.io/v1 CSIStorageCapacity: what is left. https://kubernetes.io/docs/concepts/storage/storage-capacity/ */
import { invalid, Path } from '../../machinery/field.ts'
import { isDNS1123Subdomain } from '../../machinery/names.ts'
import { compareQuantity } from '../../machinery/quantity.ts'
import { obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { nameColumn } from '../columns.ts'
import { deprecatedLabel } from '../core/nodelabels.ts'
import { csiStorageCapacities } from '../kinds.ts'
import { labelSelector, validateLabelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const csiStorageCapacitySchema = obj(
  'io.k8s.api.storage.v1.CSIStorageCapacity',
  'How much storage a class can still make in a place.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    nodeTopology: opt(2, labelSelector, { doc: 'Nodes that can reach it; none when absent.' }),
    storageClassName: req(3, str(), { doc: 'The storage class; cannot change.', default: '' }),
    capacity: opt(4, quantity(), { doc: "What is left, by the driver's account." }),
    maximumVolumeSize: opt(5, quantity(), { doc: 'The largest volume that can be made.' }),
  }),
)
export type CSIStorageCapacity = Stored<Infer<typeof csiStorageCapacitySchema>>

export const csiStorageCapacity = resource<CSIStorageCapacity>({
  ...csiStorageCapacities,
  schema: csiStorageCapacitySchema,
  singular: 'csistoragecapacity',
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'StorageClassName', type: 'string', doc: 'The storage class', cell: c => c.storageClassName },
    { name: 'Capacity', type: 'string', doc: 'What is left', cell: c => c.capacity ?? '<unset>' },
  ],
  validate: (c, at) => [
    ...validateLabelSelector(c.nodeTopology, {}, at.child('nodeTopology')),
    ...isDNS1123Subdomain(c.storageClassName ?? '').map(m => invalid(at.child('storageClassName'), c.storageClassName ?? '', m)),
    ...(c.capacity !== undefined && compareQuantity(c.capacity, '0') < 0
      ? [invalid(at.child('capacity'), c.capacity, 'must be greater than or equal to 0')]
      : []),
  ],
  validateUpdate: (c, old, at) => [
    ...validateImmutable(c.nodeTopology, old.nodeTopology, at.child('nodeTopology')),
    ...validateImmutable(c.storageClassName, old.storageClassName, at.child('storageClassName')),
  ],
  warnings: ({ nodeTopology }) => {
    const at = new Path('nodeTopology')
    const expressions = (nodeTopology?.matchExpressions ?? []).flatMap(({ key }, i) => {
      const said = deprecatedLabel(key)
      return said === undefined ? [] : [`${at.child('matchExpressions').index(i).child('key')}: ${key} is ${said}`]
    })
    const labels = Object.keys(nodeTopology?.matchLabels ?? {}).flatMap(label => {
      const said = deprecatedLabel(label)
      return said === undefined ? [] : [`${at.child('matchLabels').key(label)}: ${said}`]
    })
    return [...expressions, ...labels]
  },
})
