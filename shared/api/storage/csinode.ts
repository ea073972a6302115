/** storage.k8s.io/v1 CSINode: the CSI drivers of a node. https://kubernetes-csi.github.io/docs/csi-node-object.html */
import { duplicate, invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isQualifiedName } from '../../machinery/names.ts'
import { int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { csiDriverName } from '../core/podspec/storagevalidation.ts'
import { csiNodes } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable, validateNonNegative } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const csiNodeSchema = obj('io.k8s.api.storage.v1.CSINode', 'The CSI drivers of a node.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, csiNodeSpec, { doc: 'The drivers.', default: {} }),
}))
export type CSINode = Stored<Infer<typeof csiNodeSchema>>
const csiNodeSpec = obj('io.k8s.api.storage.v1.CSINodeSpec', 'The CSI drivers of a node.', () => ({
  drivers: req(1, list(csiNodeDriver), {
    doc: 'The drivers.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
}))
const csiNodeDriver = obj('io.k8s.api.storage.v1.CSINodeDriver', 'A CSI driver on a node.', () => ({
  name: req(1, str(), { doc: 'Name of the driver.', default: '' }),
  nodeID: req(2, str(), { doc: "The driver's name for the node.", default: '' }),
  topologyKeys: opt(3, list(str()), { doc: 'Labels by which the driver tells where a node is.', listType: 'atomic' }),
  allocatable: opt(4, volumeNodeResources, { doc: 'How many volumes it takes.' }),
}))
export type CSINodeDriver = Infer<typeof csiNodeDriver>
const volumeNodeResources = obj('io.k8s.api.storage.v1.VolumeNodeResources', 'Limits of a driver on a node.', () => ({
  count: opt(1, int32(), { doc: 'How many volumes may be attached; no limit when absent.' }),
}))

export const csiNode = resource<CSINode>({
  ...csiNodes,
  schema: csiNodeSchema,
  singular: 'csinode',
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'Drivers', type: 'integer', doc: 'How many drivers it has', cell: n => n.spec.drivers?.length ?? 0 },
    ageColumn,
  ],
  validate: (n, at) => validateDrivers(n.spec.drivers ?? [], at.child('spec', 'drivers')),
  // A driver's entry stays as it is, but for how many volumes it takes.
  validateUpdate: (n, old, at) =>
    (old.spec.drivers ?? []).flatMap(was => {
      const is = n.spec.drivers?.find(d => d.name === was.name)
      const frozen = ({ allocatable: _allocatable, ...rest }: CSINodeDriver): object => rest
      return is ? validateImmutable(frozen(is), frozen(was), at.child('spec', 'drivers')) : []
    }),
})

const maxNodeId = 256

function validateDrivers(drivers: readonly CSINodeDriver[], at: Path): FieldError[] {
  const names = new Set<string>()
  return drivers.flatMap(({ name, nodeID, topologyKeys, allocatable }, i) => {
    const here = at.index(i)
    const errors = csiDriverName(name, here.child('name'))
    if (!nodeID) errors.push(required(here.child('nodeID')))
    else if (nodeID.length > maxNodeId) errors.push(invalid(here.child('nodeID'), nodeID, `must be ${maxNodeId} characters or less`))
    errors.push(...validateNonNegative(allocatable?.count, here.child('allocatable', 'count')))
    if (names.has(name)) errors.push(duplicate(here.child('name'), name))
    names.add(name)
    topologyKeys?.forEach((key, j) => {
      if (key === '') errors.push(required(here))
      if (topologyKeys.indexOf(key) < j) errors.push(duplicate(here, key))
      errors.push(...isQualifiedName(key).map(m => invalid(here, key, m)))
    })
    return errors
  })
}
