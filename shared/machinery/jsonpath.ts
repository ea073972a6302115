/** The JSONPath that kubectl and the columns of custom kinds know (k8s.io/client-go/util/jsonpath), for one expression without braces. */
import { parseJson } from './int64.ts'

/** All values at the path; nothing where it leads nowhere. */
export type JsonPath = (value: unknown) => unknown[]

type Step = (values: readonly unknown[]) => unknown[]
type Values = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Throws an Error for what is no path. */
export function parseJsonPath(text: string): JsonPath {
  const steps = new Parser(text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text).path()
  return value => steps.reduce<unknown[]>((values, step) => step(values), [value])
}

const member =
  (name: string): Step =>
  values =>
    values.flatMap(v => (isObject(v) && Object.hasOwn(v, name) ? [v[name]] : []))
const members: Step = values => values.flatMap(v => (Array.isArray(v) ? (v as unknown[]) : isObject(v) ? Object.values(v) : []))

/** Every value below, the objects before what is in them. */
const below: Step = values => values.flatMap(v => [v, ...below(Array.isArray(v) ? (v as unknown[]) : isObject(v) ? Object.values(v) : [])])

const slice =
  (from: number | undefined, to: number | undefined, by: number): Step =>
  values =>
    values.flatMap(v => (Array.isArray(v) ? (v.slice(from, to) as unknown[]).filter((_, i) => i % by === 0) : []))
const item =
  (i: number): Step =>
  values =>
    values.flatMap(v => (Array.isArray(v) && v.at(i) !== undefined ? [v.at(i) as unknown] : []))

type Operand = (item: unknown) => unknown
const compare: Readonly<Record<string, (a: any, b: any) => boolean>> = {
  // any: values of one type, which the caller has made sure of
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
}
const filter =
  (left: Operand, operator: string | undefined, right: Operand | undefined): Step =>
  values =>
    values.flatMap(v =>
      Array.isArray(v)
        ? (v as unknown[]).filter(one => {
            const a = left(one)
            if (operator === undefined || right === undefined) return a !== undefined
            const b = right(one)
            return a !== undefined && typeof a === typeof b && compare[operator]!(a, b)
          })
        : [],
    )

class Parser {
  readonly #text: string
  #at = 0
  constructor(text: string) {
    this.#text = text
  }

  path(): Step[] {
    const steps: Step[] = []
    // The root and the current item may be named.
    if (this.#text[this.#at] === '$' || this.#text[this.#at] === '@') this.#at++
    while (this.#at < this.#text.length) steps.push(...this.#step())
    return steps
  }

  #take(expression: RegExp): RegExpExecArray | undefined {
    const sticky = new RegExp(expression, 'y')
    sticky.lastIndex = this.#at
    const found = sticky.exec(this.#text)
    if (found) this.#at = sticky.lastIndex
    return found ?? undefined
  }

  #step(): Step[] {
    if (this.#take(/\.\./)) return [below, ...(this.#text[this.#at] === '[' ? [] : this.#name())]
    if (this.#take(/\.\*/) || this.#take(/\[\*\]/)) return [members]
    if (this.#take(/\.(?=\[|$)/)) return []
    if (this.#take(/\./)) return this.#name()
    if (this.#take(/\[/)) return [this.#bracket()]
    return this.#name()
  }

  #name(): Step[] {
    const name = this.#take(/(?:\\.|[^.[\]\\])+/)
    if (!name) throw new Error(`unexpected ${JSON.stringify(this.#text.slice(this.#at) || 'end')} in ${JSON.stringify(this.#text)}`)
    return [member(name[0].replace(/\\(.)/g, '$1'))]
  }

  #bracket(): Step {
    const quoted = this.#take(/\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")\s*\]/)
    if (quoted) return member((quoted[1] ?? quoted[2]!).replace(/\\(.)/g, '$1'))
    const range = this.#take(/\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(\d+)\s*)?\]/)
    const number = (digits: string | undefined): number | undefined => (digits === undefined ? undefined : Number(digits))
    if (range) return slice(number(range[1]), number(range[2]), Math.max(1, Number(range[3] ?? 1)))
    const index = this.#take(/\s*(-?\d+)\s*\]/)
    if (index) return item(Number(index[1]))
    const several = this.#take(/\s*(-?\d+(?:\s*,\s*-?\d+)+)\s*\]/)
    if (several) {
      const steps = several[1]!.split(',').map(i => item(Number(i)))
      return values => steps.flatMap(step => step(values))
    }
    if (this.#take(/\?\(/)) return this.#filter()
    throw new Error(`invalid array index in ${JSON.stringify(this.#text)}`)
  }

  #filter(): Step {
    const left = this.#operand()
    const operator = this.#take(/\s*(==|!=|<=|>=|<|>)\s*/)?.[1]
    const right = operator === undefined ? undefined : this.#operand()
    if (!this.#take(/\s*\)\s*\]/)) throw new Error(`unterminated filter in ${JSON.stringify(this.#text)}`)
    return filter(left, operator, right)
  }

  #operand(): Operand {
    const text = this.#take(/\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")/)
    if (text) {
      const value = (text[1] ?? text[2]!).replace(/\\(.)/g, '$1')
      return () => value
    }
    const scalar = this.#take(/\s*(true|false|-?\d+(?:\.\d+)?)(?=[\s)=!<>]|$)/)
    if (scalar) {
      const value: unknown = parseJson(scalar[1]!)
      return () => value
    }
    const path = this.#take(/\s*(@(?:\\.|\[(?:'[^']*'|"[^"]*"|[^\]'"])*\]|[^\s)=!<>[\\])*)/)
    if (!path) throw new Error(`unrecognized operand in ${JSON.stringify(this.#text)}`)
    const find = parseJsonPath(path[1]!)
    return one => find(one)[0]
  }
}
