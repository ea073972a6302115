/** Warnings for amounts of bytes with a fraction. */
import type { Path } from '../../../machinery/field.ts'
import { isIntegerQuantity } from '../../../machinery/quantity.ts'

/** What is to be said of the amounts `names` in a list of resources at `at`: bytes cannot be parted. */
export const fractional = (list: { readonly [name: string]: string } | undefined, at: Path, ...names: readonly string[]): string[] =>
  names.flatMap(name => {
    const value = list?.[name]
    return value === undefined || isIntegerQuantity(value)
      ? []
      : [`${at.key(name)}: fractional byte value ${JSON.stringify(value)} is invalid, must be an integer`]
  })
