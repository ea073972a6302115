/** Tokens of an expression, by the lexer rules of github.com/google/cel-go/parser/gen/CEL.g4. */
import type { CelIssue } from './source.ts'

export type TokenKind = 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'ident' | 'escaped' | 'symbol' | 'end'
export interface Token {
  readonly kind: TokenKind
  readonly text: string
  /** Offset in code points. */
  readonly at: number
}

const escape = String.raw`\\(?:[abfnrtv"'\\?\x60]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})`
const quoted = [
  `"""(?:${escape}|[^\\\\])*?"""`,
  `'''(?:${escape}|[^\\\\])*?'''`,
  `"(?:${escape}|[^\\\\"\\n\\r])*"`,
  `'(?:${escape}|[^\\\\'\\n\\r])*'`,
  `[rR]"""[^]*?"""`,
  `[rR]'''[^]*?'''`,
  `[rR]"[^"\\n\\r]*"`,
  `[rR]'[^'\\n\\r]*'`,
].join('|')

/** Each alternative matches from one place on, and none of them looks back: scanning is linear but for unclosed quotes. */
const rules: readonly (readonly [TokenKind | 'blank', RegExp])[] = [
  ['blank', /(?:[\t \r\n\f]+|\/\/[^\n]*)+/y],
  ['double', /(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)/y],
  ['uint', /(?:0x[0-9a-fA-F]+|\d+)[uU]/y],
  ['int', /0x[0-9a-fA-F]+|\d+/y],
  ['bytes', new RegExp(`[bB](?:${quoted})`, 'uy')],
  ['string', new RegExp(quoted, 'uy')],
  ['ident', /[A-Za-z_][A-Za-z0-9_]*/y],
  ['escaped', /`[A-Za-z0-9_.\-/ ]+`/y],
  ['symbol', /==|!=|<=|>=|&&|\|\||[<>[\]{}().,\-!?:+*/%]/y],
]

/** `in` is an operator, and these are literals. */
const words: ReadonlySet<string> = new Set(['in', 'true', 'false', 'null'])

/** The tokens, the last of which is the end; what is no token is told in `errors` and left out. */
export function tokenize(source: string, errors: CelIssue[]): Token[] {
  const tokens: Token[] = []
  let offset = 0
  let at = 0
  let bad: { at: number; text: string } | undefined
  const tellBad = (): void => {
    if (bad) errors.push({ at: bad.at, message: `Syntax error: token recognition error at: '${showText(bad.text)}'` })
    bad = undefined
  }
  while (offset < source.length) {
    const found = next(source, offset)
    if (found === undefined) {
      // A quote that is not closed spoils the rest of its line.
      const char = String.fromCodePoint(source.codePointAt(offset)!)
      const text = char === '"' || char === "'" ? unclosed(source, offset) : char
      tellBad()
      bad = { at, text }
      offset += text.length
      at += [...text].length
      continue
    }
    const { kind, text } = found
    tellBad()
    if (kind !== 'blank') tokens.push({ kind: kind === 'ident' && words.has(text) ? 'symbol' : kind, text, at })
    offset += text.length
    at += isAscii(text) ? text.length : [...text].length
  }
  tellBad()
  tokens.push({ kind: 'end', text: '<EOF>', at })
  return tokens
}

function next(source: string, offset: number): { kind: TokenKind | 'blank'; text: string } | undefined {
  for (const [kind, rule] of rules) {
    rule.lastIndex = offset
    const match = rule.exec(source)
    if (match) return { kind, text: match[0] }
  }
  return undefined
}

const isAscii = (text: string): boolean => !/[^\x00-\x7f]/.test(text)

function unclosed(source: string, offset: number): string {
  const end = source.indexOf('\n', offset)
  return source.slice(offset, end < 0 ? undefined : end)
}

const showText = (text: string): string => text.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')
