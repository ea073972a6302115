/** Amounts of resources by name, and what is done with them (k8s.io/apiserver/pkg/quota/v1/resources.go). None changes what it is given. */
import type { ResourceList } from '../api/core/podspec/resources.ts'
import { lookUp } from '../machinery/jsonvalue.ts'
import { addQuantities, compareQuantity, formatQuantity, subtractQuantities } from '../machinery/quantity.ts'

export type { ResourceList }

/** The sum, of all names in either. */
export function add(a: ResourceList, b: ResourceList): ResourceList {
  const sum = { ...a }
  for (const [name, q] of Object.entries(b)) {
    const have = lookUp(a, name)
    sum[name] = have === undefined ? q : formatQuantity(addQuantities(have, q))
  }
  return sum
}

/** What `a` is more than `b`, nothing where it is less. */
export function increase(a: ResourceList, b: ResourceList): ResourceList {
  const more: ResourceList = {}
  for (const [name, q] of Object.entries(a)) {
    const before = lookUp(b, name)
    const difference = before === undefined ? q : formatQuantity(subtractQuantities(q, before))
    if (compareQuantity(difference, '0') > 0) more[name] = difference
  }
  return more
}

/** Those with a name that is asked for. */
export const masked = (amounts: ResourceList, names: readonly string[]): ResourceList =>
  Object.fromEntries(Object.entries(amounts).filter(([name]) => names.includes(name)))
export const withoutZeros = (amounts: ResourceList): ResourceList =>
  Object.fromEntries(Object.entries(amounts).filter(([, q]) => compareQuantity(q, '0') !== 0))

/** Names of which `a` is more than `limits` allow. */
export const exceeded = (a: ResourceList, limits: ResourceList): string[] =>
  Object.keys(limits).filter(name => {
    const q = lookUp(a, name)
    return q !== undefined && compareQuantity(q, limits[name]!) > 0
  })

/** Whether both have the same names with the same amounts, however these are written. */
export function sameAmounts(a: ResourceList, b: ResourceList): boolean {
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every(name => lookUp(b, name) !== undefined && compareQuantity(a[name]!, lookUp(b, name)!) === 0)
  )
}

/** `cpu=1,memory=1Gi` */
export const formatAmounts = (amounts: ResourceList): string =>
  Object.keys(amounts)
    .sort()
    .map(name => `${name}=${amounts[name]}`)
    .join(',')
