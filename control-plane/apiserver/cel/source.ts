/** The text of an expression, and errors that point into it, shown as github.com/google/cel-go/common shows them. */

export interface CelIssue {
  /** Offset in code points; -1 for errors of the expression as a whole. */
  readonly at: number
  readonly message: string
}

/** Upstream reports no more. */
const maxErrors = 100
const maxSnippet = 16_384

/** `ERROR: <input>:1:5: undeclared reference to 'x' (in container '')`, the line and a mark under it, for each error, in their order. */
export function display(source: string, errors: readonly CelIssue[]): string {
  const lines = source.split('\n').map(line => [...line])
  const placed = errors.slice(0, maxErrors).map(error => ({ ...place(lines, error.at), message: error.message }))
  placed.sort((a, b) => a.line - b.line || a.column - b.column)
  const shown = placed.map(({ line, column, message }) => {
    const head = `ERROR: <input>:${line}:${column + 1}: ${message}`
    const text = lines[line - 1]
    if (text === undefined || text.length > maxSnippet) return head
    const dots = text.slice(0, column).map(c => (isWide(c) ? '．' : '.'))
    const mark = column < text.length && isWide(text[column]!) ? '＾' : '^'
    return `${head}\n | ${text.join('').replaceAll('\t', ' ')}\n | ${dots.join('')}${mark}`
  })
  if (errors.length > maxErrors) shown.push(`${errors.length - maxErrors} more errors were truncated`)
  return shown.join('\n')
}

const isWide = (c: string): boolean => c > '\x7f'

function place(lines: readonly string[][], at: number): { line: number; column: number } {
  if (at < 0) return { line: -1, column: -1 }
  let left = at
  for (const [i, line] of lines.entries()) {
    if (left <= line.length) return { line: i + 1, column: left }
    left -= line.length + 1
  }
  return { line: lines.length, column: lines.at(-1)!.length }
}
