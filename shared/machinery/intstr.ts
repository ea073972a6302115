/** Values that are a number or a text: ports by number or name, sizes by number or percentage. */
import { invalid, type FieldError, type Path } from './field.ts'
import { isPercent } from './names.ts'

export type IntOrString = number | string

/** Go's `IntValue`: the number, also of a text that is one; 0 for other texts. */
export const intValue = (value: IntOrString): number => (typeof value === 'number' ? value : /^[+-]?\d+$/.test(value) ? Number(value) : 0)

/** The number, or the percentage of `total`, rounded up or down. Throws upstream's error for any other text. */
export function scaledValue(value: IntOrString, total: number, roundUp: boolean): number {
  if (typeof value === 'number') return value
  if (!value.endsWith('%')) throw new Error('invalid value for IntOrString: invalid type: string is not a percentage')
  const digits = value.slice(0, -1)
  if (!/^[+-]?\d+$/.test(digits))
    throw new Error(
      `invalid value for IntOrString: invalid value ${JSON.stringify(value)}: strconv.Atoi: parsing ${JSON.stringify(digits)}: invalid syntax`,
    )
  const scaled = (Number(digits) * total) / 100
  return roundUp ? Math.ceil(scaled) : Math.floor(scaled)
}

/** The number in front of `%`, undefined when it is no percentage. */
export const percentOf = (value: IntOrString): number | undefined =>
  typeof value === 'string' && /^[0-9]+%$/.test(value) ? Number(value.slice(0, -1)) : undefined

/** The number, or that in front of `%`: what tells whether a size is nothing. */
export const amountOf = (value: IntOrString): number => percentOf(value) ?? intValue(value)

/** A size must be a number from 0 up or a percentage. */
export function validateIntOrPercent(value: IntOrString, path: Path): FieldError[] {
  if (typeof value === 'string') return isPercent(value).map(e => invalid(path, value, e))
  return value < 0 ? [invalid(path, value, 'must be greater than or equal to 0')] : []
}
/** A percentage must not be above 100. */
export function validateNotMoreThan100Percent(value: IntOrString, path: Path): FieldError[] {
  const percent = percentOf(value)
  return percent !== undefined && percent > 100 ? [invalid(path, value, 'must not be greater than 100%')] : []
}
