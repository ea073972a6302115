/**
 * resource.Quantity: numbers with units, `100m`, `1.5Gi`, `2e3`.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ Exact: a value is a whole number of nanos (upstream
 * rounds up to those, too).
 */

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent'
export interface Quantity {
  readonly nanos: bigint
  readonly format: QuantityFormat
  /** The text it was parsed from, where upstream keeps it as it is. */
  readonly text?: string
}

export const quantityFormatError = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
const numericError = 'unable to parse numeric part of quantity'
const suffixError = "unable to parse quantity's suffix"

const nano = 1_000_000_000n
const maxBinary = (1n << 63n) - 1n
const decimalSuffixes: Record<string, number> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
const binarySuffixes: Record<string, number> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }
const suffixOfDecimal = new Map(Object.entries(decimalSuffixes).map(([s, e]) => [e, s]))
const suffixOfBinary = new Map(Object.entries(binarySuffixes).map(([s, e]) => [e, s]))
// More digits than any amount needs; a bound so that no request makes the server compute with numbers of megabytes.
const maxDigits = 1000
const maxExponent = 1000

const grammar = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/

/** `10 ** exponent` nanos' worth of `digits`, rounded up (away from zero; `digits` is not negative). */
function scale(digits: bigint, exponent: number): bigint {
  const e = exponent + 9
  if (e >= 0) return digits * 10n ** BigInt(e)
  const divisor = 10n ** BigInt(-e)
  return (digits + divisor - 1n) / divisor
}

function interpret(suffix: string): { base: 2 | 10; exponent: number; format: QuantityFormat } | undefined {
  if (Object.hasOwn(decimalSuffixes, suffix)) return { base: 10, exponent: decimalSuffixes[suffix]!, format: 'DecimalSI' }
  if (Object.hasOwn(binarySuffixes, suffix)) return { base: 2, exponent: binarySuffixes[suffix]!, format: 'BinarySI' }
  const m = /^[eE]([+-]?[0-9]+)$/.exec(suffix)
  if (!m) return undefined
  const exponent = Number(m[1])
  return Math.abs(exponent) <= maxExponent ? { base: 10, exponent, format: 'DecimalExponent' } : undefined
}

/** Parses a quantity. Throws an Error with upstream's text when it is none. */
export function parseQuantity(text: string): Quantity {
  const m = grammar.exec(text)
  if (!m || text === '' || m[0] === m[1]) throw new Error(!m || text === '' ? quantityFormatError : numericError)
  const [, sign, whole = '', fraction = '', suffix = ''] = m
  const unit = interpret(suffix)
  if (!unit) throw new Error(suffixError)
  const digits = whole + fraction
  if (digits === '' || digits.length > maxDigits) throw new Error(numericError)
  let { format } = unit
  const mantissa = BigInt(digits)
  let nanos =
    unit.base === 10 ? scale(mantissa, unit.exponent - fraction.length) : scale(mantissa << BigInt(unit.exponent), -fraction.length)
  if (format === 'BinarySI') {
    if (nanos > maxBinary * nano) nanos = maxBinary * nano
    if (nanos > 0n && nanos < nano) format = 'DecimalSI'
  }
  const keeps = keepsText(whole, fraction, digits, mantissa, unit)
  return { nanos: sign === '-' ? -nanos : nanos, format, ...(keeps ? { text } : {}) }
}

/**
 * Whether upstream takes the text as canonical already, without computing; some texts that it would not write itself are among them
 * (`1.500`).
 */
function keepsText(whole: string, fraction: string, digits: string, mantissa: bigint, unit: { base: 2 | 10; exponent: number }): boolean {
  if (unit.base === 2) {
    const precision = 15 - whole.length - Math.trunc((unit.exponent * 3) / 10) - 1
    return fraction === '' && precision >= 0 && unit.exponent % 10 === 0 && (mantissa & 7n) !== 0n
  }
  const exponent = unit.exponent - fraction.length
  return 18 - digits.length >= 0 && exponent >= -9 && exponent % 3 === 0 && !digits.endsWith('000') && digits[0] !== '0'
}

/** The canonical text: no fraction, the largest unit that keeps the number whole. */
export function formatQuantity(q: Quantity): string {
  if (q.text !== undefined) return q.text
  if (q.nanos === 0n) return '0'
  const binary = q.format === 'BinarySI' && q.nanos % nano === 0n && !(q.nanos > -1024n * nano && q.nanos < 1024n * nano)
  return binary ? formatBinary(q.nanos / nano) : formatDecimal(q.nanos, q.format === 'DecimalExponent')
}

function formatBinary(value: bigint): string {
  let exponent = 0
  while (exponent < 60 && value % 1024n === 0n) {
    value /= 1024n
    exponent += 10
  }
  return `${value}${suffixOfBinary.get(exponent) ?? ''}`
}

function formatDecimal(value: bigint, asExponent: boolean): string {
  let exponent = -9
  while (value % 1000n === 0n && (asExponent || exponent < 18)) {
    value /= 1000n
    exponent += 3
  }
  if (asExponent) return exponent === 0 ? String(value) : `${value}e${exponent}`
  return `${value}${suffixOfDecimal.get(exponent)!}`
}

/** The canonical text of a quantity's text, undefined when it is none. */
export function normalQuantity(text: string): string | undefined {
  try {
    return formatQuantity(parseQuantity(text))
  } catch {
    return undefined
  }
}

/** Functions below take texts as well; those that come from the API are valid, others throw. */
export type QuantityLike = Quantity | string
const of = (q: QuantityLike): Quantity => (typeof q === 'string' ? parseQuantity(q) : q)

export const zeroQuantity: Quantity = { nanos: 0n, format: 'DecimalSI' }
/** -1, 0 or 1. */
export function compareQuantity(a: QuantityLike, b: QuantityLike): -1 | 0 | 1 {
  const [x, y] = [of(a).nanos, of(b).nanos]
  return x < y ? -1 : x > y ? 1 : 0
}
/** The sum; like upstream's it keeps the format of `a` unless that is zero. */
export function addQuantities(a: QuantityLike, b: QuantityLike): Quantity {
  const [x, y] = [of(a), of(b)]
  return { nanos: x.nanos + y.nanos, format: x.nanos === 0n ? y.format : x.format }
}
export function subtractQuantities(a: QuantityLike, b: QuantityLike): Quantity {
  const [x, y] = [of(a), of(b)]
  return { nanos: x.nanos - y.nanos, format: x.nanos === 0n ? y.format : x.format }
}
export function multiplyQuantity(a: QuantityLike, factor: number | bigint): Quantity {
  const x = of(a)
  return { nanos: x.nanos * BigInt(factor), format: x.format }
}

const roundedUp = (n: bigint, unit: bigint): bigint => (n >= 0n ? (n + unit - 1n) / unit : n / unit)
/** The whole number, rounded up; exact up to 2^53. */
export const quantityValue = (q: QuantityLike): number => Number(roundedUp(of(q).nanos, nano))
/** Thousandths, rounded up; exact up to 2^53. */
export const quantityMilliValue = (q: QuantityLike): number => Number(roundedUp(of(q).nanos, 1_000_000n))
/** A float, for ratios. */
export const quantityFloat = (q: QuantityLike): number => Number(of(q).nanos) / 1e9
/** A quantity of whole units: `quantityOf(1024 * 1024, 'BinarySI')` prints `1Mi`. */
export const quantityOf = (value: number | bigint, format: QuantityFormat = 'DecimalSI'): Quantity => ({
  nanos: BigInt(value) * nano,
  format,
})
/** A quantity of thousandths: `milliQuantityOf(250)` prints `250m`. */
export const milliQuantityOf = (milli: number | bigint, format: QuantityFormat = 'DecimalSI'): Quantity => ({
  nanos: BigInt(milli) * 1_000_000n,
  format,
})
/** Whether it is a whole number of units. */
export const isIntegerQuantity = (q: QuantityLike): boolean => of(q).nanos % nano === 0n
/** Whether `a` is a whole multiple of `b`, which is not zero. */
export const isMultipleOf = (a: QuantityLike, b: QuantityLike): boolean => of(b).nanos !== 0n && of(a).nanos % of(b).nanos === 0n
