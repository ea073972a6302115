/** Quantities in requests: checked and brought into canonical form. */
import { plainQuantity } from './scalar.ts'

/** The canonical text of a quantity, undefined when it is none. */
export function normalQuantity(text: string): string | undefined {
  if (plainQuantity.test(text)) return text
  return /^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/.test(text) ? text : undefined
}
