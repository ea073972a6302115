/** networking.k8s.io/v1 IPAddress: an address in use. https://kubernetes.io/docs/reference/networking/service-protocols/ */
import { invalid, Path, required, type FieldError } from '../../machinery/field.ts'
import { validateCanonicalIP } from '../../machinery/ip.ts'
import { isDNS1123Subdomain, nameIsPathSegment } from '../../machinery/names.ts'
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { ipAddresses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const ipAddressSchema = obj('io.k8s.api.networking.v1.IPAddress', 'An address that is in use; its name is the address.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, ipAddressSpec, { doc: 'Who uses it.', default: {} }),
}))
export type IPAddress = Stored<Infer<typeof ipAddressSchema>>
const ipAddressSpec = obj('io.k8s.api.networking.v1.IPAddressSpec', 'Who uses an address.', () => ({
  parentRef: req(1, parentReference, { doc: 'The object that the address belongs to.', pointer: true }),
}))
const parentReference = obj('io.k8s.api.networking.v1.ParentReference', 'Names the object that an address belongs to.', () => ({
  group: opt(1, str(), { doc: 'Its API group.' }),
  resource: req(2, str(), { doc: 'Its resource.' }),
  namespace: opt(3, str(), { doc: 'Its namespace.' }),
  name: req(4, str(), { doc: 'Its name.' }),
}))
export type ParentReference = Infer<typeof parentReference>

export const ipAddress = resource<IPAddress>({
  ...ipAddresses,
  schema: ipAddressSchema,
  singular: 'ipaddress',
  shortNames: ['ip'],
  columns: [nameColumn, { name: 'ParentRef', type: 'string', doc: 'The object that it belongs to', cell: parent }, ageColumn],
  validateName: name => messagesForIP(name),
  validate: (a, at) => validateParent(a.spec.parentRef, at.child('spec', 'parentRef')),
  validateUpdate: (a, old, at) => validateImmutable(a.spec.parentRef, old.spec.parentRef, at.child('spec', 'parentRef')),
})

function parent({ spec: { parentRef: p } }: IPAddress): string {
  if (!p) return '<none>'
  const resource = `${p.resource ?? ''}${p.group ? `.${p.group}` : ''}`.toLowerCase()
  return [resource, ...(p.namespace ? [p.namespace] : []), p.name ?? ''].join('/')
}

/** What is wrong with a name that has to be an address in its canonical form. */
const messagesForIP = (name: string): string[] =>
  validateCanonicalIP(new Path(), name).map(e => e.message.slice(`Invalid value: ${JSON.stringify(name)}: `.length))

function validateParent(p: ParentReference | undefined, at: Path): FieldError[] {
  if (!p) return [required(at)]
  const errors = p.group ? isDNS1123Subdomain(p.group).map(m => invalid(at.child('group'), p.group, m)) : []
  for (const field of ['resource', 'name', 'namespace'] as const) {
    if (p[field]) errors.push(...nameIsPathSegment(p[field], false).map(m => invalid(at.child(field), p[field], m)))
    else if (field !== 'namespace') errors.push(required(at.child(field)))
  }
  return errors
}
