/** What a registry asks of who is not known to it: the header WWW-Authenticate (RFC 9110, 11.6.1). */

export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  scheme: string
  /** By names in lower case. */
  parameters: { [name: string]: string }
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const quoted = /"((?:[^"\\]|\\.)*)"/y

/** All challenges of a header; what cannot be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const found: Challenge[] = []
  let at = 0
  const skip = (characters: string): void => {
    while (at < header.length && characters.includes(header[at]!)) at++
  }
  const take = (expression: RegExp): RegExpExecArray | null => {
    expression.lastIndex = at
    const match = expression.exec(header)
    if (match) at = expression.lastIndex
    return match
  }
  for (skip(' \t,'); at < header.length; skip(' \t,')) {
    const name = take(token)?.[0]
    if (name === undefined) break
    skip(' \t')
    if (header[at] !== '=' || found.length === 0) {
      found.push({ scheme: name.toLowerCase(), parameters: Object.create(null) as Challenge['parameters'] })
      continue
    }
    at++
    skip(' \t')
    const text = take(quoted)
    const value = text ? text[1]!.replace(/\\(.)/g, '$1') : take(token)?.[0]
    if (value === undefined) break
    found.at(-1)!.parameters[name.toLowerCase()] = value
  }
  return found
}
