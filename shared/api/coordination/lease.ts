/** coordination.k8s.io/v1 Lease: who holds something, and since when. https://kubernetes.io/docs/concepts/architecture/leases/ */
import { invalid } from '../../machinery/field.ts'
import { int32, microTime, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { leases } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'

const leaseSpec = obj('io.k8s.api.coordination.v1.LeaseSpec', 'Who holds the lease, and since when.', () => ({
  holderIdentity: opt(1, str(), { doc: 'Who holds it.', pointer: true }),
  leaseDurationSeconds: opt(2, int32(), { doc: 'How long others wait after renewTime before they take it.' }),
  acquireTime: opt(3, microTime(), { doc: 'When its holder got it.', pointer: true }),
  renewTime: opt(4, microTime(), { doc: 'When its holder last renewed it.', pointer: true }),
  leaseTransitions: opt(5, int32(), { doc: 'How often it changed hands.' }),
  strategy: opt(6, str(), { doc: 'How the holder of a coordinated election is picked.', pointer: true }),
  preferredHolder: opt(7, str(), { doc: 'Who shall take it next; only with strategy.', pointer: true }),
}))
export type LeaseSpec = Infer<typeof leaseSpec>

const leaseSchema = obj('io.k8s.api.coordination.v1.Lease', 'Something that one party at a time holds.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, leaseSpec, { doc: 'Who holds it, and since when.', default: {} }),
}))
export type Lease = Stored<Infer<typeof leaseSchema>>

export const lease = resource<Lease>({
  ...leases,
  schema: leaseSchema,
  singular: 'lease',
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  columns: [nameColumn, { name: 'Holder', type: 'string', doc: 'Who holds it', cell: l => l.spec.holderIdentity ?? '' }, ageColumn],
  prepareForCreate: dropCoordinated,
  prepareForUpdate: dropCoordinated,
  validate: ({ spec }, at) => [
    ...((spec.leaseDurationSeconds ?? 1) <= 0
      ? [invalid(at.child('spec', 'leaseDurationSeconds'), spec.leaseDurationSeconds, 'must be greater than 0')]
      : []),
    ...((spec.leaseTransitions ?? 0) < 0
      ? [invalid(at.child('spec', 'leaseTransitions'), spec.leaseTransitions, 'must be greater than or equal to 0')]
      : []),
  ],
})

// Coordinated leader election is off by default in v1.35; its fields are dropped then.
function dropCoordinated(lease: Lease): void {
  delete lease.spec.strategy
  delete lease.spec.preferredHolder
}
