/**
 * Rules for a Service's addresses and IP families, and for how they may change (pkg/apis/core/validation
 * ValidateServiceClusterIPsRelatedFields).
 */
import { duplicate, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { ipFamily, validateIP } from '../../machinery/ip.ts'
import type { ServiceSpec } from './service.ts'
import { isHeadless } from './servicedefaults.ts'

const families = ['IPv4', 'IPv6']
const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack']

/** `at` is the path of spec. */
export function validateClusterIPs(spec: ServiceSpec, old: ServiceSpec | undefined, at: Path): FieldError[] {
  if (spec.type === 'ExternalName') return []
  const ips = spec.clusterIPs ?? []
  const path = at.child('clusterIPs')
  const errors: FieldError[] = []
  if (spec.clusterIP) {
    if (ips.length === 0) errors.push(required(path))
    else if (ips[0] !== spec.clusterIP) errors.push(invalid(path, ips, 'first value must match `clusterIP`'))
  } else if (ips.length) errors.push(invalid(path, ips, 'must be empty when `clusterIP` is not specified'))

  const seen = new Set<string>()
  spec.ipFamilies?.forEach((family, i) => {
    const here = at.child('ipFamilies').index(i)
    if (!families.includes(family)) errors.push(notSupported(here, family, families))
    if (seen.has(family)) errors.push(duplicate(here, family))
    seen.add(family)
  })
  if (spec.ipFamilyPolicy !== undefined && !policies.includes(spec.ipFamilyPolicy))
    errors.push(notSupported(at.child('ipFamilyPolicy'), spec.ipFamilyPolicy, policies))

  let bad = false
  ips.forEach((ip, i) => {
    if (i === 0 && ip === 'None') {
      if (ips.length > 1) errors.push(invalid(path, ips, "'None' must be the first and only value"))
      return
    }
    const found = validateIP(path.index(i), ip, old?.clusterIPs)
    bad ||= found.length > 0
    errors.push(...found)
  })
  if (ips.length > 2) errors.push(invalid(path, ips, 'may only hold up to 2 values'))
  // With an address that is none, what follows would only confuse.
  if (bad) return errors
  if (ips.length > 1 && new Set(ips.map(ipFamily)).size !== ips.length)
    errors.push(invalid(path, ips, 'may specify no more than one IP for each IP family'))
  if (!isHeadless(spec)) {
    ips.forEach((ip, i) => {
      const want = spec.ipFamilies?.[i]
      if (want && families.includes(want) && ipFamily(ip) !== want)
        errors.push(invalid(path.index(i), ip, `expected an ${want} value as indicated by \`ipFamilies[${i}]\``))
    })
  }
  return errors
}

/**
 * Addresses and families stay; a second one may be added, or released together with ipFamilyPolicy SingleStack. `at` is the path of spec.
 */
export function validateAddressChanges(spec: ServiceSpec, old: ServiceSpec, at: Path): FieldError[] {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return []
  const [isNow, was] = [isHeadless(spec), isHeadless(old)]
  return [
    ...(isNow && was ? [] : validateChange(spec.clusterIPs ?? [], old.clusterIPs ?? [], spec, 'clusterIP', at)),
    ...(isNow || was ? [] : validateChange(spec.ipFamilies ?? [], old.ipFamilies ?? [], spec, 'ipFamily', at)),
  ]
}

function validateChange(
  now: readonly string[],
  before: readonly string[],
  spec: ServiceSpec,
  what: 'clusterIP' | 'ipFamily',
  at: Path,
): FieldError[] {
  const first = at.child(what === 'clusterIP' ? 'clusterIPs' : 'ipFamilies').index(0)
  const list = at.child(what === 'clusterIP' ? 'clusterIPs' : 'ipFamilies')
  if (now.length === before.length)
    return before.flatMap((v, i) => (v === now[i] ? [] : [invalid(list.index(i), now, 'may not change once set')]))
  const errors: FieldError[] = []
  if (now.length === 0) errors.push(invalid(first, now, `primary ${what} can not be unset`))
  else if (before.length && now[0] !== before[0]) errors.push(invalid(first, now, 'may not change once set'))
  if (now.length === 1 && before.length > 1 && spec.ipFamilyPolicy !== 'SingleStack') {
    errors.push(
      invalid(at.child('ipFamilyPolicy'), spec.ipFamilyPolicy, `must be set to 'SingleStack' when releasing the secondary ${what}`),
    )
  }
  return errors
}
