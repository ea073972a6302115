/** Rules of core/v1 Node (pkg/apis/core/validation ValidateNode, ValidateNodeUpdate). */
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { parseCIDR, validateCIDR } from '../../machinery/ip.ts'
import { isLabelValue } from '../../machinery/names.ts'
import { compareQuantity, isIntegerQuantity } from '../../machinery/quantity.ts'
import { semanticEqual, validateLabelName } from '../meta/validation.ts'
import type { Node, Taint } from './node.ts'

export function validateNode(node: Node, at: Path): FieldError[] {
  return [
    ...validateTaints(node.spec.taints, at.child('metadata', 'taints')),
    ...validateResources(node, at),
    ...validateSwap(node, at),
    ...validatePodCIDRs(node.spec.podCIDRs ?? [], at.child('spec', 'podCIDRs')),
  ]
}

function validateTaints(taints: readonly Taint[] | undefined, at: Path): FieldError[] {
  const seen = new Set<string>()
  return (taints ?? []).flatMap((taint, i) => {
    const here = at.index(i)
    const errors = validateLabelName(taint.key, here.child('key'))
    const valueErrors = isLabelValue(taint.value ?? '')
    if (valueErrors.length) errors.push(invalid(here.child('value'), taint.value, valueErrors.join(';')))
    if (!taint.effect) errors.push(required(here.child('effect')))
    else if (!effects.includes(taint.effect)) errors.push(notSupported(here.child('effect'), taint.effect, effects))
    const identity = `${taint.key} ${taint.effect}`
    if (seen.has(identity)) {
      const error = duplicate(here, taint)
      errors.push({ ...error, message: `${error.message}: taints must be unique by key and effect pair` })
    }
    seen.add(identity)
    return errors
  })
}
const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

function validateResources(node: Node, at: Path): FieldError[] {
  return (['capacity', 'allocatable'] as const).flatMap(list =>
    Object.entries(node.status?.[list] ?? {}).flatMap(([name, quantity]) => {
      const here = at.child('status', list, name)
      const errors: FieldError[] = []
      if (compareQuantity(quantity, '0') < 0) errors.push(invalid(here, quantity, 'must be greater than or equal to 0'))
      if ((name === 'pods' || isExtended(name)) && !isIntegerQuantity(quantity)) errors.push(invalid(here, quantity, 'must be an integer'))
      return errors
    }),
  )
}
/** A resource of somebody else's domain, as device plugins report them. */
const isExtended = (name: string): boolean => name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.')

function validateSwap(node: Node, at: Path): FieldError[] {
  const capacity = node.status?.nodeInfo?.swap?.capacity
  return capacity !== undefined && capacity <= 0
    ? [invalid(at.child('metadata', 'nodeSwapStatus', 'capacity'), capacity, 'must be greater than 0')]
    : []
}

function validatePodCIDRs(ranges: readonly string[], at: Path): FieldError[] {
  const errors = ranges.flatMap((r, i) => validateCIDR(at.index(i), r))
  if (ranges.length > 1) {
    const families = new Set(ranges.map(r => parseCIDR(r)?.family))
    if (families.size !== ranges.length) errors.push(invalid(at, ranges, 'may specify no more than one CIDR for each IP family'))
  }
  return errors
}

export function validateNodeUpdate(node: Node, old: Node, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const addresses = new Set<string>()
  node.status?.addresses?.forEach((a, i) => {
    const identity = `${a.type} ${a.address}`
    if (addresses.has(identity)) errors.push(duplicate(at.child('status', 'addresses').index(i), a))
    addresses.add(identity)
  })
  if (old.spec.podCIDRs?.length && !semanticEqual(node.spec.podCIDRs, old.spec.podCIDRs)) {
    errors.push(forbidden(at.child('spec', 'podCIDRs'), 'node updates may not change podCIDR except from "" to valid'))
  }
  if (old.spec.providerID && old.spec.providerID !== node.spec.providerID) {
    errors.push(forbidden(at.child('spec', 'providerID'), 'node updates may not change providerID except from "" to valid'))
  }
  if ((node.spec.externalID ?? '') !== (old.spec.externalID ?? ''))
    errors.push(forbidden(at.child('spec', 'externalID'), 'may not be updated'))
  return errors
}
