/** Label selectors: their text form `app=web,tier in (a,b),!old` and LabelSelector objects (k8s.io/apimachinery/pkg/labels). */
import type { LabelSelector } from '../api/meta/labelselector.ts'
import { isLabelValue, isQualifiedName } from './names.ts'

export type LabelOperator = 'in' | 'notin' | '=' | '==' | '!=' | 'exists' | '!' | 'gt' | 'lt'
export interface LabelRequirement {
  readonly key: string
  readonly operator: LabelOperator
  readonly values: readonly string[]
}
export type Labels = { readonly [key: string]: string }
/** A parsed selector: all requirements must hold; an empty list selects everything. */
export type Selector = readonly LabelRequirement[]

/** Errors of one requirement that are told. */
const maxErrors = 100

const binaryOperators = 'in, notin, =, ==, !=, gt, lt'
const operatorOf: Record<string, LabelOperator> = { in: 'in', notin: 'notin', '=': '=', '==': '==', '!=': '!=', '>': 'gt', '<': 'lt' }

interface Token {
  readonly kind: 'identifier' | 'operator' | '!' | '(' | ')' | ',' | 'end'
  readonly text: string
}

const special = new Set(['=', '!', '(', ')', ',', '>', '<'])
const symbols = new Set(['=', '==', '!', '!=', '(', ')', ',', '>', '<'])
const space = /[ \t\r\n]/

function scan(text: string): Token[] {
  const tokens: Token[] = []
  let i = 0
  while (i < text.length) {
    const c = text[i]!
    if (space.test(c)) i++
    else if (special.has(c)) {
      const symbol = symbols.has(text.slice(i, i + 2)) ? text.slice(i, i + 2) : c
      i += symbol.length
      tokens.push({ kind: symbol === '!' || symbol === '(' || symbol === ')' || symbol === ',' ? symbol : 'operator', text: symbol })
    } else {
      let end = i
      while (end < text.length && !special.has(text[end]!) && !space.test(text[end]!)) end++
      const word = text.slice(i, end)
      tokens.push({ kind: word === 'in' || word === 'notin' ? 'operator' : 'identifier', text: word })
      i = end
    }
  }
  tokens.push({ kind: 'end', text: '' })
  return tokens
}

/** `in` and `notin` are words like any other where a key or a value stands. */
const isWord = (t: Token): boolean => t.kind === 'identifier' || t.text === 'in' || t.text === 'notin'
const fail = (message: string): never => {
  throw new Error(message)
}
const invalidText = (path: string, value: string, errors: string[]): string =>
  `${path}: Invalid value: ${JSON.stringify(value)}: ${errors.join('; ')}`

/** Checks a requirement as upstream's NewRequirement does; throws its error. */
function checked(key: string, operator: LabelOperator, values: readonly string[]): LabelRequirement {
  const errors: string[] = []
  const shown = `[${values
    .slice(0, maxErrors)
    .map(v => JSON.stringify(v))
    .join(',')}]`
  const keyErrors = isQualifiedName(key)
  if (keyErrors.length) errors.push(invalidText('key', key, keyErrors))
  if ((operator === 'in' || operator === 'notin') && values.length === 0)
    errors.push(`values: Invalid value: ${shown}: for 'in', 'notin' operators, values set can't be empty`)
  if ((operator === 'exists' || operator === '!') && values.length)
    errors.push(`values: Invalid value: ${shown}: values set must be empty for exists and does not exist`)
  if (operator === 'gt' || operator === 'lt') {
    values.forEach((v, i) => {
      if (!/^[+-]?\d+$/.test(v))
        errors.push(`values[${i}]: Invalid value: ${JSON.stringify(v)}: for 'Gt', 'Lt' operators, the value must be an integer`)
    })
  }
  values.forEach((v, i) => {
    const valueErrors = errors.length < maxErrors ? isLabelValue(v) : []
    if (valueErrors.length) errors.push(invalidText(`values[${i}][${key}]`, v, valueErrors))
  })
  if (errors.length) fail(errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]`)
  return { key, operator, values }
}

const byKey = (a: LabelRequirement, b: LabelRequirement): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
const sortedSet = (values: Iterable<string>): string[] => [...new Set(values)].sort()

/** Parses the text form. Throws an Error with upstream's text. */
export function parseLabelSelector(text: string): Selector {
  const tokens = scan(text)
  let at = 0
  const peek = (): Token => tokens[at]!
  const next = (): Token => tokens[at < tokens.length - 1 ? at++ : at]!

  const parseValues = (): string[] => {
    const open = next()
    if (open.kind !== '(') fail(`found '${open.text}' expected: '('`)
    const first = peek()
    if (first.kind === ')') {
      next()
      return ['']
    }
    if (!isWord(first) && first.kind !== ',') fail(`found '${first.text}', expected: ',', ')' or identifier`)
    const values = new Set<string>()
    for (;;) {
      const t = next()
      if (isWord(t)) {
        values.add(t.text)
        const after = peek()
        if (after.kind === ')') break
        if (after.kind !== ',') fail(`found '${after.text}', expected: ',' or ')'`)
      } else if (t.kind === ',') {
        if (values.size === 0) values.add('')
        if (peek().kind === ')' || peek().kind === ',') values.add('')
        if (peek().kind === ')') break
      } else fail(`found '${t.text}', expected: ',', or identifier`)
    }
    next()
    return sortedSet(values)
  }

  const parseRequirement = (): LabelRequirement => {
    let t = next()
    const negated = t.kind === '!'
    if (negated) t = next()
    if (!isWord(t)) fail(`found '${t.text}', expected: identifier`)
    const key = t.text
    const keyErrors = isQualifiedName(key)
    if (keyErrors.length) fail(invalidText('<nil>', key, keyErrors))
    if (negated) return checked(key, '!', [])
    if (peek().kind === 'end' || peek().kind === ',') return checked(key, 'exists', [])
    const op = next()
    const operator = Object.hasOwn(operatorOf, op.text) ? operatorOf[op.text]! : fail(`found '${op.text}', expected: ${binaryOperators}`)
    if (operator === 'in' || operator === 'notin') return checked(key, operator, parseValues())
    const value = peek()
    if (value.kind === 'end' || value.kind === ',') return checked(key, operator, [''])
    if (!isWord(next())) fail(`found '${value.text}', expected: identifier`)
    return checked(key, operator, [value.text])
  }

  const requirements: LabelRequirement[] = []
  while (peek().kind !== 'end') {
    const t = peek()
    if (!isWord(t) && t.kind !== '!') fail(`found '${t.text}', expected: !, identifier, or 'end of string'`)
    try {
      requirements.push(parseRequirement())
    } catch (e) {
      fail(`unable to parse requirement: ${(e as Error).message}`)
    }
    const end = next()
    if (end.kind === 'end') break
    if (end.kind !== ',') fail(`found '${end.text}', expected: ',' or 'end of string'`)
    if (!isWord(peek()) && peek().kind !== '!') fail(`found '${peek().text}', expected: identifier after ','`)
  }
  return requirements.sort(byKey)
}

const integer = (text: string): bigint | undefined => (/^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^\+/, '')) : undefined)

const sets = new WeakMap<readonly string[], Set<string>>()
/** Whether a requirement names the value; long lists are looked through once, not for each object. */
function names({ values }: LabelRequirement, value: string): boolean {
  if (values.length < 16) return values.includes(value)
  let set = sets.get(values)
  if (!set) sets.set(values, (set = new Set(values)))
  return set.has(value)
}

function holds(r: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined
  switch (r.operator) {
    case 'in':
    case '=':
    case '==':
      return value !== undefined && names(r, value)
    case 'notin':
    case '!=':
      return value === undefined || !names(r, value)
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case 'gt':
    case 'lt': {
      const [have, want] = [integer(value ?? ''), integer(r.values[0] ?? '')]
      return have !== undefined && want !== undefined && (r.operator === 'gt' ? have > want : have < want)
    }
  }
}

/** Whether all requirements hold for an object's labels. */
export const matchesLabels = (selector: Selector, labels: Labels | undefined): boolean => selector.every(r => holds(r, labels ?? {}))

const objectOperators: Record<string, LabelOperator> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' }

/**
 * A LabelSelector object as a selector; `undefined` (which selects nothing) gives undefined. Throws upstream's error for an invalid one.
 */
export function selectorOf(selector: LabelSelector | undefined): Selector | undefined {
  if (!selector) return undefined
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([k, v]) => checked(k, '=', [v]))
  for (const e of selector.matchExpressions ?? []) {
    const operator = Object.hasOwn(objectOperators, e.operator)
      ? objectOperators[e.operator]!
      : fail(`${JSON.stringify(e.operator)} is not a valid label selector operator`)
    requirements.push(checked(e.key, operator, e.values ?? []))
  }
  return requirements.sort(byKey)
}
const compiled = new WeakMap<LabelSelector, Selector>()
/**
 * Whether a LabelSelector object selects these labels; an absent one selects nothing. Asked for each of many objects: a selector, which must
 * not be changed afterwards, is checked once. Throws as selectorOf.
 */
export function selects(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (!selector) return false
  let requirements = compiled.get(selector)
  if (!requirements) compiled.set(selector, (requirements = selectorOf(selector)!))
  return matchesLabels(requirements, labels)
}
/** A plain map of labels as a selector, as in a Service's spec. */
export const selectorOfLabels = (labels: Labels): Selector =>
  Object.entries(labels)
    .map(([key, value]): LabelRequirement => ({ key, operator: '=', values: [value] }))
    .sort(byKey)

function formatRequirement(r: LabelRequirement): string {
  const values = r.values.length === 1 ? r.values[0]! : [...r.values].sort().join(',')
  switch (r.operator) {
    case 'exists':
      return r.key
    case '!':
      return `!${r.key}`
    case 'in':
    case 'notin':
      return `${r.key} ${r.operator} (${values})`
    case 'gt':
      return `${r.key}>${values}`
    case 'lt':
      return `${r.key}<${values}`
    default:
      return `${r.key}${r.operator}${values}`
  }
}
/** The text form, sorted by key as upstream prints it; `''` selects everything. */
export const formatSelector = (selector: Selector): string => [...selector].sort(byKey).map(formatRequirement).join(',')
/** The text of a LabelSelector object for tables: `<none>` when empty or absent, `<error>` when invalid. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  try {
    return formatSelector(selectorOf(selector) ?? []) || '<none>'
  } catch {
    return '<error>'
  }
}
/** Labels for tables, `a=1,b=2`, or `<none>`. */
export const formatLabels = (labels: Labels | undefined): string =>
  Object.entries(labels ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .sort()
    .join(',') || '<none>'
