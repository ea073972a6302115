/**
 * networking.k8s.io/v1 ServiceCIDR: ranges for the addresses of services.
 * https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/
 */
import { invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { parseCIDR, validateCanonicalCIDR } from '../../machinery/ip.ts'
import { list, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { serviceCIDRs } from '../kinds.ts'
import { condition } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { immutableText } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const serviceCIDRSchema = obj('io.k8s.api.networking.v1.ServiceCIDR', 'Ranges that addresses of services come from.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, serviceCIDRSpec, { doc: 'The ranges.', default: {} }),
  status: opt(3, serviceCIDRStatus, { doc: 'Whether they are in use.', default: {} }),
}))
export type ServiceCIDR = Stored<Infer<typeof serviceCIDRSchema>>
const serviceCIDRSpec = obj('io.k8s.api.networking.v1.ServiceCIDRSpec', 'One or two ranges.', () => ({
  cidrs: opt(1, list(str()), { doc: 'The ranges, at most one of each IP family; they cannot change.', listType: 'atomic' }),
}))
const serviceCIDRStatus = obj('io.k8s.api.networking.v1.ServiceCIDRStatus', 'Whether the ranges are in use.', () => ({
  conditions: opt(1, list(condition), {
    doc: 'Observed aspects.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))

export const serviceCIDR = resource<ServiceCIDR>({
  ...serviceCIDRs,
  schema: serviceCIDRSchema,
  singular: 'servicecidr',
  hasStatus: true,
  statusKeeps: 'metadata',
  keepsStatusOnCreate: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [nameColumn, { name: 'CIDRs', type: 'string', doc: 'The ranges', cell: c => (c.spec.cidrs ?? []).join(',') }, ageColumn],
  validate: (c, at) => validateRanges(c.spec.cidrs ?? [], at.child('spec', 'cidrs')),
  validateUpdate: (c, old, at, ctx) =>
    ctx.subresource === 'status' ? [] : validateRangesUpdate(c.spec.cidrs ?? [], old.spec.cidrs ?? [], at.child('spec', 'cidrs')),
})

function validateRanges(cidrs: readonly string[], at: Path): FieldError[] {
  if (cidrs.length === 0) return [required(at, 'at least one CIDR required')]
  if (cidrs.length > 2) return [invalid(at, { cidrs }, 'may only hold up to 2 values')]
  const errors = cidrs.flatMap((cidr, i) => validateCanonicalCIDR(at.index(i), cidr))
  const [first, second] = cidrs.map(cidr => parseCIDR(cidr)?.family)
  if (first && first === second)
    errors.push(invalid(at, cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64'))
  return errors
}

/** The ranges stay; one of the other family may be added. */
function validateRangesUpdate(cidrs: readonly string[], old: readonly string[], at: Path): FieldError[] {
  if (cidrs.length !== old.length && !(old.length === 1 && cidrs.length === 2)) return [invalid(at, cidrs, immutableText)]
  return old.flatMap((cidr, i) => (cidrs[i] === cidr ? [] : [invalid(at.index(i), cidrs[i], immutableText)]))
}
