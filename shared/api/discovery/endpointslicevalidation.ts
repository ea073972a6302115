/** Rules of discovery.k8s.io/v1 EndpointSlice (pkg/apis/discovery/validation). */
import { duplicate, invalid, notSupported, required, tooMany, type FieldError, type Path } from '../../machinery/field.ts'
import { ipFamily, validateIP, validateNonSpecialIP } from '../../machinery/ip.ts'
import { isDNS1123Label, isDNS1123Subdomain, isLabelValue, isQualifiedName } from '../../machinery/names.ts'
import { validateImmutable } from '../meta/validation.ts'
import type { Endpoint, EndpointPort, EndpointSlice } from './endpointslice.ts'

const addressTypes = ['FQDN', 'IPv4', 'IPv6']
const protocols = ['SCTP', 'TCP', 'UDP']
/** As many as a Service may have that maps a large range; the documentation still says 100. */
const maxPorts = 20_000

export function validateEndpointSlice(slice: EndpointSlice, at: Path): FieldError[] {
  const type = slice.addressType
  const path = at.child('addressType')
  return [
    ...(!type ? [required(path)] : addressTypes.includes(type) ? [] : [notSupported(path, type, addressTypes)]),
    ...validateEndpoints(slice.endpoints ?? [], type, at.child('endpoints')),
    ...validatePorts(slice.ports ?? [], at.child('ports')),
  ]
}
export const validateEndpointSliceUpdate = (slice: EndpointSlice, old: EndpointSlice, at: Path): FieldError[] =>
  validateImmutable(slice.addressType, old.addressType, at.child('addressType'))

function validateEndpoints(endpoints: readonly Endpoint[], type: string, at: Path): FieldError[] {
  if (endpoints.length > 1000) return [tooMany(at, endpoints.length, 1000)]
  return endpoints.flatMap((e, i) => {
    const here = at.index(i)
    const addresses = e.addresses ?? []
    const errors: FieldError[] = []
    if (addresses.length === 0) errors.push(required(here.child('addresses'), 'must contain at least 1 address'))
    else if (addresses.length > 100) errors.push(tooMany(here.child('addresses'), addresses.length, 100))
    addresses.forEach((a, j) => errors.push(...validateAddress(a, type, here.child('addresses').index(j))))
    if (e.nodeName !== undefined) errors.push(...isDNS1123Subdomain(e.nodeName).map(m => invalid(here.child('nodeName'), e.nodeName, m)))
    if (e.hostname !== undefined) errors.push(...isDNS1123Label(e.hostname).map(m => invalid(here.child('hostname'), e.hostname, m)))
    errors.push(...validateHints(e, here.child('hints')))
    return errors
  })
}

function validateAddress(address: string, type: string, at: Path): FieldError[] {
  if (type === 'FQDN') return validateFQDN(address, at)
  if (type !== 'IPv4' && type !== 'IPv6') return []
  const errors = validateIP(at, address)
  if (errors.length === 0 && ipFamily(address) !== type) errors.push(invalid(at, address, `must be an ${type} address`))
  return [...errors, ...validateNonSpecialIP(address, at)]
}

function validateFQDN(text: string, at: Path): FieldError[] {
  if (!text) return [required(at)]
  const name = text.replace(/\.$/, '')
  const errors = isDNS1123Subdomain(name)
  if (errors.length) return [invalid(at, name, errors.join(','))]
  const labels = name.split('.')
  if (labels.length < 2) return [invalid(at, name, 'should be a domain with at least two segments separated by dots')]
  const bad = labels.find(l => isDNS1123Label(l).length > 0)
  return bad === undefined ? [] : [invalid(at, bad, isDNS1123Label(bad).join(','))]
}

function validateHints(e: Endpoint, at: Path): FieldError[] {
  return (['forZones', 'forNodes'] as const).flatMap(field => {
    const list = e.hints?.[field] ?? []
    if (list.length > 8) return [tooMany(at.child(field), list.length, 8)]
    const seen = new Set<string>()
    return list.flatMap(({ name }, i) => {
      const here = at.child(field).index(i).child('name')
      const repeated = seen.has(name)
      seen.add(name)
      if (repeated) return [duplicate(here, name)]
      return (field === 'forZones' ? isLabelValue(name) : isDNS1123Subdomain(name)).map(m => invalid(here, name, m))
    })
  })
}

function validatePorts(ports: readonly EndpointPort[], at: Path): FieldError[] {
  if (ports.length > maxPorts) return [tooMany(at, ports.length, maxPorts)]
  const names = new Set<string>()
  return ports.flatMap((p, i) => {
    const here = at.index(i)
    const name = p.name ?? ''
    const errors = name ? isDNS1123Label(name).map(m => invalid(here.child('name'), name, m)) : []
    if (names.has(name)) errors.push(duplicate(here.child('name'), name))
    names.add(name)
    if (p.protocol === undefined) errors.push(required(here.child('protocol')))
    else if (!protocols.includes(p.protocol)) errors.push(notSupported(here.child('protocol'), p.protocol, protocols))
    if (p.appProtocol !== undefined)
      errors.push(...isQualifiedName(p.appProtocol).map(m => invalid(here.child('appProtocol'), p.appProtocol, m)))
    return errors
  })
}
