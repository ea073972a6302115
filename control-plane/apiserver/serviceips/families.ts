/**
 * ipFamilies and ipFamilyPolicy of a Service: inferred when left out, refused when the cluster cannot serve them
 * (pkg/registry/core/service/storage/alloc.go initIPFamilyFields).
 */
import type { Service } from '#shared/api/core/service.ts'
import { invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'

type Spec = Service['spec']
const at = new Path('spec')
const other = (family: string): IPFamily => (family === 'IPv4' ? 'IPv6' : 'IPv4')
const same = (a: readonly string[] = [], b: readonly string[] = []): boolean => a.length === b.length && a.every((v, i) => v === b[i])

/** Fills both fields in; returns what is wrong with what the client gave. `own` are the cluster's families, the default one first. */
export function completeFamilies(spec: Spec, own: readonly IPFamily[], old?: Spec): FieldError[] {
  if (spec.type === 'ExternalName') return []
  // A cluster that has become dual-stack, or is no more, changes no Service by itself.
  if (old && prefersAsBefore(spec, old)) return []
  const selectorless = spec.clusterIPs?.[0] === 'None' && Object.keys(spec.selector ?? {}).length === 0
  spec.ipFamilyPolicy ??= old?.ipFamilyPolicy ?? (selectorless ? 'RequireDualStack' : 'SingleStack')
  const policy = at.child('ipFamilyPolicy')
  const errors: FieldError[] = []
  const refuse = (path: Path, value: unknown, why: string): void => void errors.push(invalid(path, value, why))
  if (old && spec.ipFamilyPolicy === 'SingleStack') {
    // That is clear enough: the second ones go.
    if (same(old.clusterIPs, spec.clusterIPs)) spec.clusterIPs = spec.clusterIPs?.slice(0, 1)
    if (same(old.ipFamilies, spec.ipFamilies)) spec.ipFamilies = spec.ipFamilies?.slice(0, 1)
  } else if (old) {
    if (reduced(spec.clusterIPs, old.clusterIPs))
      refuse(policy, spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP")
    if (reduced(spec.ipFamilies, old.ipFamilies))
      refuse(policy, spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary IP family")
  }
  if (spec.ipFamilyPolicy === 'SingleStack') {
    const must = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
    if (spec.clusterIPs?.length === 2) refuse(policy, spec.ipFamilyPolicy, `${must} cluster IPs are specified`)
    if (spec.ipFamilies?.length === 2) refuse(policy, spec.ipFamilyPolicy, `${must} IP families are specified`)
  }
  const families = [...(spec.ipFamilies ?? [])]
  for (const [i, ip] of (spec.clusterIPs ?? []).entries()) {
    const family = ip === 'None' ? undefined : ipFamily(ip)
    if (family === undefined) break
    if (i < families.length) continue
    if (own.includes(family)) families.push(family)
    else refuse(at.child('clusterIPs').index(i), spec.clusterIPs, `${family} is not configured on this cluster`)
  }
  if (errors.length > 0) return errors
  const dual = spec.ipFamilyPolicy !== 'SingleStack'
  if (!selectorless) {
    if (spec.ipFamilyPolicy === 'RequireDualStack' && own.length < 2)
      refuse(policy, spec.ipFamilyPolicy, 'this cluster is not configured for dual-stack services')
    families.forEach((family, i) => {
      if (!own.includes(family as IPFamily)) refuse(at.child('ipFamilies').index(i), family, 'not configured on this cluster')
    })
    if (errors.length > 0) return errors
  }
  if (families.length === 0) families.push(own[0]!)
  // Nobody here serves headless ones without a selector: any families will do, and both by default.
  if (dual && families.length === 1 && (selectorless || own.length === 2)) families.push(other(families[0]!))
  spec.ipFamilies = families
  return []
}

const reduced = (now: readonly string[] = [], before: readonly string[] = []): boolean => before.length > now.length && now.length > 0

function prefersAsBefore(spec: Spec, old: Spec): boolean {
  return (
    old.type === spec.type &&
    old.ipFamilyPolicy === 'PreferDualStack' &&
    spec.ipFamilyPolicy === 'PreferDualStack' &&
    same(spec.clusterIPs, old.clusterIPs) &&
    same(spec.ipFamilies, old.ipFamilies)
  )
}
