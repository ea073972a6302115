/**
 * Names as tokens of NATS subjects. A token must not hold `.`, `*`, `>` or white space: `.` becomes `/`, what else is unsafe becomes `%XX`
 * (neither `/` nor `%` occurs in a Kubernetes name), and an empty name is `_`.
 */

const safe = /^[\w:~=@+,-]+$/

/** A name as one token of a subject; `fromToken` is its inverse. */
export function toToken(name: string): string {
  if (name === '') return '_'
  if (name === '_') return '%5F'
  if (safe.test(name)) return name
  return name.replace(/[^\w:~=@+,-]/gu, c => (c === '.' ? '/' : escape(c)))
}

/** The name behind a token. Throws URIError when it is not one that `toToken` makes. */
export function fromToken(token: string): string {
  if (token === '_') return ''
  const dotted = token.includes('/') ? token.replaceAll('/', '.') : token
  return dotted.includes('%') ? decodeURIComponent(dotted) : dotted
}

const escape = (c: string): string => Array.from(Buffer.from(c), byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')

/** Where an identity sends its requests; what it sends about them (liveness, cancellation, sessions) goes below. */
export const apiSubject = (identity: string): string => `api.${toToken(identity)}`
/** Where answers for an identity go: below this, and nowhere else. */
export const inboxPrefix = (identity: string): string => `_INBOX.${toToken(identity)}`
/** Where a node is asked for sessions, such as `exec`. */
export const nodeSubject = (identity: string, verb: string): string => `node.${toToken(identity)}.${verb}`
