/** Field selectors: `metadata.name=web,status.phase!=Running` (k8s.io/apimachinery/pkg/fields). */

export interface FieldRequirement {
  readonly field: string
  readonly operator: '=' | '!='
  readonly value: string
}

function splitTerms(text: string): string[] {
  const terms: string[] = []
  let start = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === ',') {
      terms.push(text.slice(start, i))
      start = i + 1
    }
  }
  terms.push(text.slice(start))
  return terms
}

function unescape(value: string): string {
  let out = ''
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!
    if (c === '\\') {
      const next = value[++i]
      if (next !== '\\' && next !== ',' && next !== '=') throw new Error(`invalid field selector: invalid escape sequence: \\${next ?? ''}`)
      out += next
    } else if (c === ',' || c === '=') throw new Error(`invalid field selector: unescaped character in value: ${c.charCodeAt(0)}`)
    else out += c
  }
  return out
}

/** Parses a field selector; empty terms are skipped. Throws an Error with upstream's text. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  const out: FieldRequirement[] = []
  for (const term of text === '' ? [] : splitTerms(text).sort()) {
    if (term === '') continue
    const m = /^(.*?)(!=|==|=)/s.exec(term)
    if (!m) throw new Error(`invalid selector: '${text}'; can't understand '${term}'`)
    out.push({ field: m[1]!, operator: m[2] === '!=' ? '!=' : '=', value: unescape(term.slice(m[0].length)) })
  }
  return out
}

/** Whether all requirements hold; `value` gives a field's value, '' when it is unset. */
export const matchesFields = (requirements: readonly FieldRequirement[], value: (field: string) => string): boolean =>
  requirements.every(r => (value(r.field) === r.value) === (r.operator === '='))

/** The value that a field must have, when the selector says so with `=`. */
export const requiredField = (requirements: readonly FieldRequirement[], field: string): string | undefined =>
  requirements.find(r => r.field === field && r.operator === '=')?.value

/** The text of a value in a field selector. */
export const escapeFieldValue = (value: string): string => value.replace(/[\\,=]/g, '\\$&')
export const formatFieldSelector = (requirements: readonly FieldRequirement[]): string =>
  requirements.map(r => `${r.field}${r.operator}${escapeFieldValue(r.value)}`).join(',')
