/** Names of fields as expressions write them, `__namespace__`, `x__dash__y`: k8s.io/apiserver/pkg/cel/escaping.go. */

const reserved: ReadonlySet<string> = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(' '),
)
const words: Readonly<Record<string, string>> = { __: 'underscores', '.': 'dot', '-': 'dash', '/': 'slash' }
const signs: Readonly<Record<string, string>> = { underscores: '__', dot: '.', dash: '-', slash: '/' }

/** Undefined for a name that no expression can write. */
export function escapeName(name: string): string | undefined {
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined
  if (reserved.has(name)) return `__${name}__`
  return name.replace(/__|[-./]/g, sign => `__${words[sign]}__`)
}

/** Undefined for what no name is escaped as. */
export function unescapeName(escaped: string): string | undefined {
  if (!escaped.includes('__')) return escaped
  let wrong = false
  const name = escaped.replace(/__([^_]+)__/g, (whole, word: string) => {
    if (Object.hasOwn(signs, word)) return signs[word]!
    if (reserved.has(word) && whole === escaped) return word
    wrong = true
    return ''
  })
  return wrong ? undefined : name
}

/** Fields with reserved names can be selected without escapes, too: the grammar lets them. */
export const fieldKeys = (name: string): string[] => {
  const escaped = escapeName(name)
  return escaped === undefined ? [] : reserved.has(name) ? [escaped, name] : [escaped]
}
