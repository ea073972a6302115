/**
 * Integers of 64 bits in values without a type. Upstream holds whole numbers as int64 where they fit and all other numbers as float64; here
 * an int64 that a number of JavaScript does not hold exactly is a bigint, and only such a one. JSON.stringify writes it in all its digits.
 */

const [least, greatest] = [-(2n ** 63n), 2n ** 63n - 1n]
const isWide = /\d{16}/

interface BigIntWriter {
  (this: bigint): object
  written: number
}
const { rawJSON } = JSON as unknown as { rawJSON(text: string): object }
function write(this: bigint): object {
  writer.written++
  return rawJSON(this.toString())
}
/** What JSON.stringify asks. The CEL engine, which is loaded by itself, may bring a second copy of this module: both count in one place. */
const writer: BigIntWriter = ((BigInt.prototype as { toJSON?: BigIntWriter }).toJSON ??= Object.assign(write, { written: 0 }))

/** Grows with each bigint that is written as JSON: who compares it before and after learns whether there was one. */
export const bigintsWritten = (): number => writer.written

/** The value of a number's text by JSON's grammar. Infinite where it is too large for a float64, which upstream refuses. */
export function numberOf(text: string): number | bigint {
  const value = Number(text)
  if (text.length < 16 || Number.isSafeInteger(value) || !/^-?\d{16,19}$/.test(text)) return value
  const exact = BigInt(text)
  return exact >= least && exact <= greatest ? exact : value
}

/** A CEL int as a value of JSON. */
export const ofBigInt = (value: bigint): number | bigint => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** JSON.parse that keeps integers of 64 bits. Throws SyntaxError. */
export const parseJson = (text: string): unknown => (isWide.test(text) ? parseWide(text) : JSON.parse(text))

/** The same without a look at the text first, for those known to hold such integers: it takes three times as long. */
export const parseWide = (text: string): unknown =>
  JSON.parse(text, (_, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined ? numberOf(context.source) : value,
  )
