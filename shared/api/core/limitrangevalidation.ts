/** Rules of limit ranges (ValidateLimitRange in pkg/apis/core/validation). */
import { duplicate, forbidden, invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { lookUp } from '../../machinery/jsonvalue.ts'
import { compareQuantity, quantityFloat } from '../../machinery/quantity.ts'
import type { LimitRange, LimitRangeItem } from './limitrange.ts'
import { qualifiedName } from './podspec/formats.ts'
import { containerResourceName, isOvercommitAllowed, resourceName } from './resourcenames.ts'

const types = ['Pod', 'Container', 'PersistentVolumeClaim']

function typeName(type: string, at: Path): FieldError[] {
  const errors = qualifiedName(type, at)
  if (errors.length > 0 || type.includes('/') || types.includes(type)) return errors
  return [invalid(at, type, 'must be a standard limit type or fully qualified')]
}

export function validateLimitRange(l: LimitRange, path: Path): FieldError[] {
  const seen = new Set<string>()
  return (l.spec.limits ?? []).flatMap((item, i) => {
    const at = path.child('spec', 'limits').index(i)
    const errors = typeName(item.type, at.child('type'))
    if (seen.has(item.type)) errors.push(duplicate(at.child('type'), item.type))
    seen.add(item.type)
    return [...errors, ...validateItem(item, at)]
  })
}

const fields = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const

function validateItem(item: LimitRangeItem, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const nameRules = item.type === 'Pod' || item.type === 'Container' ? containerResourceName : resourceName
  const names = new Set<string>()
  for (const field of fields) {
    const amounts = Object.keys(item[field] ?? {})
    if (item.type === 'Pod' && field.startsWith('default')) {
      if (amounts.length > 0) errors.push(forbidden(at.child(field), "may not be specified when `type` is 'Pod'"))
      continue
    }
    for (const name of amounts) {
      errors.push(...nameRules(name, at.child(field).key(name)))
      names.add(name)
    }
  }
  if (item.type === 'PersistentVolumeClaim' && item.min?.['storage'] === undefined && item.max?.['storage'] === undefined)
    errors.push(required(at.child('limits'), 'either minimum or maximum storage value is required, but neither was provided'))
  for (const name of names) errors.push(...validateAmounts(item, name, at))
  return errors
}

/** How the amounts of one resource must stand to each other. */
function validateAmounts(item: LimitRangeItem, name: string, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const of = (field: (typeof fields)[number]): string | undefined => lookUp(item[field] ?? {}, name)
  const [min, max, limit, request, ratio] = [of('min'), of('max'), of('default'), of('defaultRequest'), of('maxLimitRequestRatio')]
  const [minText, maxText] = [`min value ${min}`, `max value ${max}`]
  /** `a` may not be more than `b`; the error is at a field and shows a value. */
  const order = (a: string | undefined, b: string | undefined, field: string, shown: string | undefined, message: string): void => {
    if (a !== undefined && b !== undefined && compareQuantity(a, b) > 0) errors.push(invalid(at.child(field).key(name), shown, message))
  }
  order(min, max, 'min', min, `${minText} is greater than ${maxText}`)
  order(min, request, 'defaultRequest', request, `${minText} is greater than default request value ${request}`)
  order(request, max, 'defaultRequest', request, `default request value ${request} is greater than ${maxText}`)
  order(request, limit, 'defaultRequest', request, `default request value ${request} is greater than default limit value ${limit}`)
  order(min, limit, 'default', min, `${minText} is greater than default value ${limit}`)
  order(limit, max, 'default', max, `default value ${limit} is greater than ${maxText}`)
  if (ratio !== undefined && compareQuantity(ratio, '1') < 0)
    errors.push(invalid(at.child('maxLimitRequestRatio').key(name), ratio, `ratio ${ratio} is less than 1`))
  if (ratio !== undefined && min !== undefined && max !== undefined) {
    const most = quantityFloat(max) / quantityFloat(min)
    if (quantityFloat(ratio) > most)
      errors.push(invalid(at.child('maxLimitRequestRatio').key(name), ratio, `ratio ${ratio} is greater than max/min = ${most.toFixed(6)}`))
  }
  if (!isOvercommitAllowed(name) && limit !== undefined && request !== undefined && compareQuantity(limit, request) !== 0)
    errors.push(
      invalid(
        at.child('defaultRequest').key(name),
        request,
        `default value ${limit} must equal to defaultRequest value ${request} in ${name}`,
      ),
    )
  return errors
}
