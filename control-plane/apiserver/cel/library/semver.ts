/** Semantic versions: k8s.io/apiserver/pkg/cel/library/semverlib.go, version 1. */
import { member, overload, type Library, type Overload } from '../functions.ts'
import { bool, int, opaque, string } from '../types.ts'
import { ErrorValue, Opaque, type Value } from '../values.ts'
import { fixed, parses } from './costs.ts'

const semverType = opaque('kubernetes.Semver')

class Semver extends Opaque {
  override readonly type = semverType
  readonly numbers: readonly bigint[]
  readonly pre: readonly (string | bigint)[]
  constructor(numbers: readonly bigint[], pre: readonly (string | bigint)[]) {
    super()
    this.numbers = numbers
    this.pre = pre
  }
  override equals(other: Semver): boolean {
    return compare(this, other) === 0
  }
}

const grammar =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$/
const maxUint = 2n ** 64n - 1n

function why(text: string): string {
  if (text === '') return 'Version string empty'
  const parts = text.split('.')
  if (parts.length < 3) return 'No Major.Minor.Patch elements found'
  for (const [i, name] of ['major', 'minor'].entries()) {
    const part = parts[i]!
    if (!/^\d+$/.test(part)) return `Invalid character(s) found in ${name} number ${JSON.stringify(part)}`
    if (/^0\d/.test(part)) return `${name === 'major' ? 'Major' : 'Minor'} number must not contain leading zeroes ${JSON.stringify(part)}`
  }
  const patch = /^[^-+]*/.exec(parts.slice(2).join('.'))![0]
  if (!/^\d+$/.test(patch)) return `Invalid character(s) found in patch number ${JSON.stringify(patch)}`
  if (/^0\d/.test(patch)) return `Patch number must not contain leading zeroes ${JSON.stringify(patch)}`
  return `Invalid character(s) found in prerelease or build metadata of ${JSON.stringify(text)}`
}

/** The version that a text says. */
export function semverValue(text: string): Semver | ErrorValue {
  const match = text.length > 10_000 ? null : grammar.exec(text)
  const pre = match?.[4]?.split('.') ?? []
  if (!match || pre.some(p => /^0\d+$/.test(p))) return new ErrorValue(why(text))
  const numbers = match.slice(1, 4).map(BigInt)
  if (numbers.some(n => n > maxUint)) return new ErrorValue(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`)
  return new Semver(
    numbers,
    pre.map(p => (/^\d+$/.test(p) ? BigInt(p) : p)),
  )
}

/** Without a leading v and leading zeros, and with the numbers that are missing. */
function normalized(text: string): Semver | ErrorValue {
  const plain = text.replace(/^v/, '')
  const [major, minor, ...rest] = plain.split('.') as [string, ...string[]]
  const parts = [major, ...(minor === undefined ? [] : [minor]), ...(rest.length > 0 ? [rest.join('.')] : [])]
  const trimmed = parts.map(p => (p.length > 1 ? p.replace(/^0+/, '').replace(/^(?!\d)/, '0') : p))
  if (trimmed.length < 3 && /[+-]/.test(trimmed.at(-1)!)) return new ErrorValue('short version cannot contain PreRelease/Build meta data')
  while (trimmed.length < 3) trimmed.push('0')
  return semverValue(trimmed.join('.'))
}

function compare(a: Semver, b: Semver): number {
  for (let i = 0; i < 3; i++) if (a.numbers[i] !== b.numbers[i]) return a.numbers[i]! < b.numbers[i]! ? -1 : 1
  if (a.pre.length === 0 || b.pre.length === 0) return Math.sign(b.pre.length - a.pre.length)
  for (let i = 0; i < Math.max(a.pre.length, b.pre.length); i++) {
    const [x, y] = [a.pre[i], b.pre[i]]
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1
    if (x === y) continue
    // Numbers come before texts.
    if (typeof x !== typeof y) return typeof x === 'bigint' ? -1 : 1
    return x < y ? -1 : 1
  }
  return 0
}

const withNormalize = (text: string, normalize: boolean): Semver | ErrorValue => (normalize ? normalized(text) : semverValue(text))
const isValid = (v: Value): boolean => !(v instanceof ErrorValue)
const pair = [semverType, semverType]
const number = (name: string, i: number): [string, Overload[]] => [
  name,
  [member(`semver_${name}`, [semverType], int, (v: Semver) => v.numbers[i]!, fixed(1))],
]

export const semvers: Library = {
  functions: new Map<string, readonly Overload[]>([
    [
      'semver',
      [
        overload('string_to_semver', [string], semverType, semverValue, parses()),
        overload('string_bool_to_semver', [string, bool], semverType, withNormalize, parses()),
      ],
    ],
    [
      'isSemver',
      [
        overload('is_semver_string', [string], bool, (text: string) => isValid(semverValue(text)), parses()),
        overload('is_semver_string_bool', [string, bool], bool, (text: string, n: boolean) => isValid(withNormalize(text, n)), parses()),
      ],
    ],
    ['isGreaterThan', [member('semver_is_greater_than', pair, bool, (a: Semver, b: Semver) => compare(a, b) > 0, fixed(1))]],
    ['isLessThan', [member('semver_is_less_than', pair, bool, (a: Semver, b: Semver) => compare(a, b) < 0, fixed(1))]],
    ['compareTo', [member('semver_compare_to', pair, int, (a: Semver, b: Semver) => BigInt(compare(a, b)), fixed(1))]],
    number('major', 0),
    number('minor', 1),
    number('patch', 2),
  ]),
  types: [semverType],
}
