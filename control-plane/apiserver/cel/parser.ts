/**
 * The grammar of expressions, by recursive descent: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax, with optional
 * selections (`a.?b`, `a[?b]`, `[?a]`). Errors are worded as those of github.com/google/cel-go/parser.
 */
import { qualifiedName, type Expr } from './ast.ts'
import { bytesOf, intOf, stringOf, uintOf } from './literal.ts'
import { tokenize, type Token } from './lexer.ts'
import { expand } from './macros.ts'
import type { CelIssue } from './source.ts'
import { Uint } from './values.ts'

/** Of upstream. */
const maxDepth = 250
const maxCodePoints = 100_000

const reserved: ReadonlySet<string> = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(' '),
)

const operand = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
const startsOperand = (t: Token): boolean =>
  t.kind === 'symbol' ? /^(?:[[{(.\-!]|true|false|null)$/.test(t.text) : t.kind !== 'end' && t.kind !== 'escaped'

class Stop extends Error {}

/** The expression, or what is wrong. `bindings`: whether cel.bind is a macro. */
export function parse(source: string, bindings = false): { expr: Expr } | { errors: CelIssue[] } {
  const errors: CelIssue[] = []
  if (source.length > maxCodePoints)
    return {
      errors: [{ at: -1, message: `expression code point size exceeds limit: size: ${[...source].length}, limit ${maxCodePoints}` }],
    }
  const parser = new Parser(tokenize(source, errors), errors, bindings)
  const expr = parser.start()
  return errors.length === 0 && expr ? { expr } : { errors }
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #errors: CelIssue[]
  readonly #bindings: boolean
  #i = 0
  #depth = 0

  constructor(tokens: readonly Token[], errors: CelIssue[], bindings: boolean) {
    this.#bindings = bindings
    this.#tokens = tokens
    this.#errors = errors
  }

  start(): Expr | undefined {
    try {
      const expr = this.#expr()
      if (this.#token.kind !== 'end') this.#unwanted('<EOF>', this.#after.kind === 'end')
      return expr
    } catch (e) {
      if (!(e instanceof Stop)) throw e
      return undefined
    }
  }

  get #token(): Token {
    return this.#tokens[this.#i]!
  }
  get #after(): Token {
    return this.#tokens[Math.min(this.#i + 1, this.#tokens.length - 1)]!
  }
  #is(symbol: string): boolean {
    const { kind, text } = this.#token
    return kind === 'symbol' && text === symbol
  }
  #take(): Token {
    const token = this.#token
    if (token.kind !== 'end') this.#i++
    return token
  }
  #skip(symbol: string): boolean {
    const found = this.#is(symbol)
    if (found) this.#i++
    return found
  }

  #stop(at: number, message: string): never {
    this.#errors.push({ at, message })
    throw new Stop()
  }
  #unwanted(expecting: string, extraneous: boolean): never {
    const { text, at } = this.#token
    this.#stop(at, `Syntax error: ${extraneous ? 'extraneous' : 'mismatched'} input '${text}' expecting ${expecting}`)
  }
  #expect(symbol: string, or = ''): Token {
    if (this.#is(symbol)) return this.#take()
    if (this.#token.kind === 'end' && or === '') this.#stop(this.#token.at, `Syntax error: missing '${symbol}' at '<EOF>'`)
    this.#unwanted(or === '' ? `'${symbol}'` : `{'${symbol}', ${or}}`, false)
  }
  /** Notes an error beside which parsing can go on. */
  #wrong(at: number, message: string): Expr {
    this.#errors.push({ at, message })
    return { kind: 'literal', value: null, at, depth: 0 }
  }

  #deep(depth: number): number {
    if (depth > maxDepth) this.#stop(-1, `expression recursion limit exceeded: ${maxDepth}`)
    return depth
  }
  #call(at: number, name: string, args: readonly Expr[], target?: Expr): Expr {
    const depth = this.#deep(1 + Math.max(0, target?.depth ?? 0, ...args.map(a => a.depth)))
    const macro = expand(name, target, args, at, this.#bindings)
    if (macro === undefined) return { kind: 'call', name, target, args, at, depth }
    if ('message' in macro) return this.#wrong(macro.at, macro.message)
    this.#deep(macro.depth)
    return macro
  }

  #expr(): Expr {
    this.#deep(++this.#depth)
    const condition = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()))
    let result = condition
    if (this.#is('?')) {
      const { at } = this.#take()
      const yes = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()))
      this.#expect(':')
      result = this.#call(at, '_?_:_', [condition, yes, this.#expr()])
    }
    this.#depth--
    return result
  }

  /** A chain becomes a balanced tree, so that long ones are not deep. */
  #logical(symbol: string, name: string, term: () => Expr): Expr {
    const terms = [term()]
    const places: number[] = []
    while (this.#is(symbol)) {
      places.push(this.#take().at)
      terms.push(term())
    }
    const tree = (low: number, high: number): Expr => {
      const middle = (low + high + 1) >> 1
      const left = middle === low ? terms[middle]! : tree(low, middle - 1)
      const right = middle === high ? terms[middle + 1]! : tree(middle + 1, high)
      return this.#call(places[middle]!, name, [left, right])
    }
    return places.length === 0 ? terms[0]! : tree(0, places.length - 1)
  }

  #relation(): Expr {
    return this.#binary(relations, () => this.#binary(sums, () => this.#binary(products, () => this.#unary())))
  }
  #binary(operators: ReadonlyMap<string, string>, term: () => Expr): Expr {
    let left = term()
    for (;;) {
      const name = this.#token.kind === 'symbol' ? operators.get(this.#token.text) : undefined
      if (name === undefined) return left
      const { at } = this.#take()
      left = this.#call(at, name, [left, term()])
    }
  }

  #unary(): Expr {
    const { text, at } = this.#token
    if (!this.#is('!') && !this.#is('-')) return this.#member()
    // A minus before a number belongs to it.
    if (text === '-' && (this.#after.kind === 'int' || this.#after.kind === 'double')) return this.#member()
    let count = 0
    while (this.#is(text) && !(text === '-' && count > 0 && (this.#after.kind === 'int' || this.#after.kind === 'double'))) {
      this.#take()
      count++
    }
    const inner = this.#member()
    return count % 2 === 0 ? inner : this.#call(at, text === '!' ? '!_' : '-_', [inner])
  }

  #member(): Expr {
    let e = this.#primary()
    for (;;) {
      if (this.#is('.')) e = this.#select(e, this.#take().at)
      else if (this.#is('[')) {
        const { at } = this.#take()
        const optional = this.#skip('?')
        const index = this.#expr()
        this.#expect(']')
        e = this.#call(at, optional ? '_[?_]' : '_[_]', [e, index])
      } else if (this.#is('{')) e = this.#struct(e)
      else return e
    }
  }

  #select(operand: Expr, at: number): Expr {
    const optional = this.#skip('?')
    const name = this.#token
    if (name.kind !== 'ident' && name.kind !== 'escaped') {
      const isWord = /^(?:true|false|null)$/.test(name.text)
      const why = isWord ? `mismatched input '${name.text}' expecting IDENTIFIER` : `no viable alternative at input '.${name.text}'`
      this.#stop(name.at, `Syntax error: ${why}`)
    }
    this.#take()
    // Upstream's environment has no names in backticks.
    if (name.kind === 'escaped') this.#wrong(name.at, "unsupported syntax: '`'")
    if (optional) return this.#call(at, '_?._', [operand, { kind: 'literal', value: name.text, at: name.at, depth: 0 }])
    if (this.#is('(') && name.kind === 'ident') {
      const open = this.#take()
      return this.#call(open.at, name.text, this.#list(')'), operand)
    }
    return { kind: 'select', operand, field: name.text, test: false, at, depth: this.#deep(operand.depth + 1) }
  }

  /** `pkg.Type{field: value}`. */
  #struct(e: Expr): Expr {
    const name = qualifiedName(e)
    if (name === undefined) this.#unwanted('<EOF>', this.#after.kind === 'end')
    const { at } = this.#take()
    const fields: { at: number; name: string; value: Expr; optional: boolean }[] = []
    while (!this.#is('}') && !this.#is(',')) {
      const optional = this.#skip('?')
      const field = this.#token
      if (field.kind === 'escaped') this.#wrong(field.at, "unsupported syntax: '`'")
      else if (field.kind !== 'ident') this.#unwanted("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}", this.#after.kind === 'ident')
      this.#take()
      const colon = this.#expect(':', '')
      fields.push({ at: colon.at, name: field.text, value: this.#expr(), optional })
      if (!this.#is(',') || (this.#after.kind === 'symbol' && this.#after.text === '}')) break
      this.#take()
    }
    this.#skip(',')
    this.#expect('}', "','")
    return { kind: 'struct', name, fields, at, depth: this.#deep(1 + Math.max(0, ...fields.map(f => f.value.depth))) }
  }

  #list(close: string): Expr[] {
    const items: Expr[] = []
    if (!this.#is(close))
      do items.push(this.#expr())
      while (this.#skip(','))
    this.#expect(close)
    return items
  }

  #primary(): Expr {
    const token = this.#token
    const { at, text } = token
    if (!startsOperand(token)) this.#noOperand()
    this.#take()
    switch (token.kind) {
      case 'int':
      case 'uint':
      case 'double':
      case 'string':
      case 'bytes':
        return this.#literal(token, false)
      case 'ident':
        return this.#name('', token)
      default:
    }
    switch (text) {
      case 'true':
      case 'false':
        return { kind: 'literal', value: text === 'true', at, depth: 0 }
      case 'null':
        return { kind: 'literal', value: null, at, depth: 0 }
      case '-':
        if (this.#token.kind === 'int' || this.#token.kind === 'double') return this.#literal(this.#take(), true, at)
        this.#stop(this.#token.at, `Syntax error: no viable alternative at input '-'`)
        break
      case '.': {
        const name = this.#token
        if (name.kind !== 'ident')
          this.#stop(name.at, `Syntax error: no viable alternative at input '.${name.kind === 'end' ? '' : name.text}'`)
        return this.#name('.', this.#take())
      }
      case '(': {
        const inner = this.#expr()
        this.#expect(')')
        return inner
      }
      case '[':
        return this.#listLiteral(at)
      case '{':
        return this.#mapLiteral(at)
      default:
        this.#i--
        this.#noOperand()
    }
  }

  #noOperand(): never {
    const { text, at, kind } = this.#token
    const recovers = startsOperand(this.#after)
    this.#errors.push({ at, message: `Syntax error: ${recovers ? 'extraneous' : 'mismatched'} input '${text}' expecting ${operand}` })
    if (kind !== 'end' && this.#after.kind === 'end')
      this.#errors.push({ at: this.#after.at, message: `Syntax error: mismatched input '<EOF>' expecting ${operand}` })
    throw new Stop()
  }

  #name(dot: string, { text, at }: Token): Expr {
    if (reserved.has(text)) {
      if (this.#skip('(')) this.#list(')')
      return this.#wrong(at, `reserved identifier: ${text}`)
    }
    if (!this.#is('(')) return { kind: 'ident', name: dot + text, at, depth: 0 }
    const open = this.#take()
    return this.#call(open.at, dot + text, this.#list(')'))
  }

  #literal(token: Token, negative: boolean, at = token.at): Expr {
    const { text } = token
    switch (token.kind) {
      case 'int': {
        const value = intOf(text, negative)
        return value === undefined ? this.#wrong(at, 'invalid int literal') : { kind: 'literal', value, at, depth: 0 }
      }
      case 'uint': {
        const value = uintOf(text)
        return value === undefined ? this.#wrong(at, 'invalid uint literal') : { kind: 'literal', value: new Uint(value), at, depth: 0 }
      }
      case 'double': {
        const value = negative ? -Number(text) : Number(text)
        return Number.isFinite(value) ? { kind: 'literal', value, at, depth: 0 } : this.#wrong(at, 'invalid double literal')
      }
      default:
        try {
          return { kind: 'literal', value: token.kind === 'bytes' ? bytesOf(text) : stringOf(text), at, depth: 0 }
        } catch (e) {
          return this.#wrong(at, (e as Error).message)
        }
    }
  }

  #listLiteral(at: number): Expr {
    const items: { value: Expr; optional: boolean }[] = []
    while (!this.#is(']') && !this.#is(',')) {
      const optional = this.#skip('?')
      items.push({ value: this.#expr(), optional })
      if (!this.#is(',') || (this.#after.kind === 'symbol' && this.#after.text === ']')) break
      this.#take()
    }
    this.#skip(',')
    this.#expect(']', "','")
    return { kind: 'list', items, at, depth: this.#deep(1 + Math.max(0, ...items.map(i => i.value.depth))) }
  }

  #mapLiteral(at: number): Expr {
    const entries: { key: Expr; value: Expr; optional: boolean }[] = []
    while (!this.#is('}') && !this.#is(',')) {
      if (!this.#is('?') && !startsOperand(this.#token))
        this.#unwanted(
          operand.replace("'(',", "'}', '(',").replace("'.', '-', '!',", "'.', ',', '-', '!', '?',"),
          startsOperand(this.#after),
        )
      const optional = this.#skip('?')
      const key = this.#expr()
      this.#expect(':')
      entries.push({ key, value: this.#expr(), optional })
      if (!this.#is(',') || (this.#after.kind === 'symbol' && this.#after.text === '}')) break
      this.#take()
    }
    this.#skip(',')
    this.#expect('}', "','")
    return { kind: 'map', entries, at, depth: this.#deep(1 + Math.max(0, ...entries.flatMap(e => [e.key.depth, e.value.depth]))) }
  }
}

const relations: ReadonlyMap<string, string> = new Map([
  ['<', '_<_'],
  ['<=', '_<=_'],
  ['>=', '_>=_'],
  ['>', '_>_'],
  ['==', '_==_'],
  ['!=', '_!=_'],
  ['in', '@in'],
])
const sums: ReadonlyMap<string, string> = new Map([
  ['+', '_+_'],
  ['-', '_-_'],
])
const products: ReadonlyMap<string, string> = new Map([
  ['*', '_*_'],
  ['/', '_/_'],
  ['%', '_%_'],
])
