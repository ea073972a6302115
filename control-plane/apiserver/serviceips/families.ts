/**
 * ipFamilies and ipFamilyPolicy of a Service in a cluster of one family: inferred when left out, refused when the cluster cannot serve
 * them.
 */
import type { Service } from '#shared/api/core/service.ts'
import { invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'

const at = new Path('spec')

/** Fills both fields in; returns what is wrong with what the client gave. */
export function completeFamilies(spec: Service['spec'], own: IPFamily): FieldError[] {
  if (spec.type === 'ExternalName') return []
  const headless = spec.clusterIPs?.[0] === 'None'
  if (headless && Object.keys(spec.selector ?? {}).length === 0) {
    // Nobody here serves these: any families will do, and both by default.
    spec.ipFamilies = spec.ipFamilies?.length ? spec.ipFamilies : [own]
    spec.ipFamilyPolicy ??= 'RequireDualStack'
    if (spec.ipFamilyPolicy !== 'SingleStack' && spec.ipFamilies.length === 1)
      spec.ipFamilies = [...spec.ipFamilies, spec.ipFamilies[0] === 'IPv4' ? 'IPv6' : 'IPv4']
    return []
  }
  const errors: FieldError[] = []
  const addresses = headless ? [] : (spec.clusterIPs ?? []).filter(ip => ip !== '' && ip !== 'None')
  const wanted = spec.ipFamilies?.length ?? 0
  if (!spec.ipFamilyPolicy) spec.ipFamilyPolicy = wanted > 1 || addresses.length > 1 ? 'RequireDualStack' : 'SingleStack'
  if (spec.ipFamilyPolicy === 'RequireDualStack')
    errors.push(invalid(at.child('ipFamilyPolicy'), spec.ipFamilyPolicy, 'this cluster is not configured for dual-stack services'))
  spec.ipFamilies?.forEach((family, i) => {
    if (family !== own) errors.push(invalid(at.child('ipFamilies').index(i), family, 'not configured on this cluster'))
  })
  addresses.forEach((ip, i) => {
    const family = ipFamily(ip)
    if (family !== undefined && family !== own && wanted === 0)
      errors.push(invalid(at.child('clusterIPs').index(i), spec.clusterIPs, `${family} is not configured on this cluster`))
  })
  if (errors.length === 0 && wanted === 0) spec.ipFamilies = [own]
  return errors
}
