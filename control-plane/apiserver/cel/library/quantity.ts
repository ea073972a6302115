/** Quantities: k8s.io/apiserver/pkg/cel/library/quantity.go. */
import {
  addQuantities,
  compareQuantity,
  isIntegerQuantity,
  parseQuantity,
  quantityFloat,
  quantityOf,
  subtractQuantities,
  type Quantity,
} from '#shared/machinery/quantity.ts'
import { maxInt, minInt } from '../gotime.ts'
import { member, overload, type Library, type Overload } from '../functions.ts'
import { bool, double, int, opaque, string } from '../types.ts'
import { ErrorValue, Opaque, type Value } from '../values.ts'
import { fixed, parses } from './costs.ts'

export const quantityType = opaque('kubernetes.Quantity')

class QuantityValue extends Opaque {
  override readonly type = quantityType
  readonly quantity: Quantity
  constructor(quantity: Quantity) {
    super()
    this.quantity = quantity
  }
  override equals(other: QuantityValue): boolean {
    return compareQuantity(this.quantity, other.quantity) === 0
  }
}

/** The amount that a text says. */
export function quantityValue(text: string): QuantityValue | ErrorValue {
  try {
    return new QuantityValue(parseQuantity(text))
  } catch (e) {
    return new ErrorValue((e as Error).message)
  }
}

const nano = 1_000_000_000n
function integer({ quantity }: QuantityValue): bigint | undefined {
  if (!isIntegerQuantity(quantity)) return undefined
  const value = quantity.nanos / nano
  return value > maxInt || value < minInt ? undefined : value
}

const compared = (a: QuantityValue, b: QuantityValue): number => compareQuantity(a.quantity, b.quantity)
const pair = [quantityType, quantityType]
const withInt = [quantityType, int]
const nominal = fixed(1)

export const quantities: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['quantity', [overload('string_to_quantity', [string], quantityType, quantityValue, parses())]],
    [
      'isQuantity',
      [overload('is_quantity_string', [string], bool, (text: string) => !(quantityValue(text) instanceof ErrorValue), parses())],
    ],
    ['sign', [overload('quantity_sign', [quantityType], int, (q: QuantityValue) => BigInt(compareQuantity(q.quantity, '0')), nominal)]],
    [
      'isGreaterThan',
      [member('quantity_is_greater_than', pair, bool, (a: QuantityValue, b: QuantityValue) => compared(a, b) > 0, nominal)],
    ],
    ['isLessThan', [member('quantity_is_less_than', pair, bool, (a: QuantityValue, b: QuantityValue) => compared(a, b) < 0, nominal)]],
    ['compareTo', [member('quantity_compare_to', pair, int, (a: QuantityValue, b: QuantityValue) => BigInt(compared(a, b)), nominal)]],
    [
      'asApproximateFloat',
      [member('quantity_get_float', [quantityType], double, (q: QuantityValue) => quantityFloat(q.quantity), nominal)],
    ],
    [
      'asInteger',
      [
        member(
          'quantity_get_int',
          [quantityType],
          int,
          (q: QuantityValue): Value => integer(q) ?? new ErrorValue('cannot convert value to integer'),
          nominal,
        ),
      ],
    ],
    ['isInteger', [member('quantity_is_integer', [quantityType], bool, (q: QuantityValue) => integer(q) !== undefined, nominal)]],
    [
      'add',
      [
        member(
          'quantity_add',
          pair,
          quantityType,
          (a: QuantityValue, b: QuantityValue) => new QuantityValue(addQuantities(a.quantity, b.quantity)),
          nominal,
        ),
        member(
          'quantity_add_int',
          withInt,
          quantityType,
          (a: QuantityValue, b: bigint) => new QuantityValue(addQuantities(a.quantity, quantityOf(b))),
          nominal,
        ),
      ],
    ],
    [
      'sub',
      [
        member(
          'quantity_sub',
          pair,
          quantityType,
          (a: QuantityValue, b: QuantityValue) => new QuantityValue(subtractQuantities(a.quantity, b.quantity)),
          nominal,
        ),
        member(
          'quantity_sub_int',
          withInt,
          quantityType,
          (a: QuantityValue, b: bigint) => new QuantityValue(subtractQuantities(a.quantity, quantityOf(b))),
          nominal,
        ),
      ],
    ],
  ]),
  types: [quantityType],
}
