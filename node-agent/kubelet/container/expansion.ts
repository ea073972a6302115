/** `$(NAME)` references in environment values, commands and arguments; `$$` is a literal dollar sign. */

/** Replaces references that `lookup` knows; others stay as they are written. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let out = ''
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '$' || i + 1 === text.length) {
      out += text[i]
      continue
    }
    const next = text[i + 1]
    const close = next === '(' ? text.indexOf(')', i + 2) : -1
    if (next === '$') out += '$'
    else if (close >= 0) {
      const name = text.slice(i + 2, close)
      out += lookup(name) ?? `$(${name})`
      i = close
      continue
    } else out += `$${next}`
    i++
  }
  return out
}
