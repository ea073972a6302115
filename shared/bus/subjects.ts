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

const word = /^\w+$/
/**
 * Whether a subject is `prefix` and one or more words below it, each of letters, digits and `_`: what a peer may name to be answered at.
 */
export function isBelow(prefix: string, subject: string, words = 1): boolean {
  if (!subject.startsWith(`${prefix}.`)) return false
  const tokens = subject.slice(prefix.length + 1).split('.')
  return tokens.length === words && tokens.every(token => word.test(token))
}

// JetStream takes the filter of a consumer as the end of a subject, wildcards and all.
const published = /^(?:[^\s\0*>]+|\$JS\.API\.[^\s\0]+)$/
const replied = /^[^\s\0*>]+$/
const subscribed = /^[^\s\0]+$/

/**
 * Throws unless a message may be published to `subject` with that reply subject: the protocol of NATS is text, and nats.js checks nothing.
 */
export function checkPublish(subject: string, reply: string | undefined): void {
  if (!published.test(subject)) throw new Error(`not a subject to publish to: ${quoted(subject)}`)
  if (reply && !replied.test(reply)) throw new Error(`not a reply subject: ${quoted(reply)}`)
}
/** Throws unless `subject`, with that queue group, may be subscribed to. */
export function checkSubscribe(subject: string, queue: string | undefined): void {
  if (!subscribed.test(subject)) throw new Error(`not a subject to subscribe to: ${quoted(subject)}`)
  if (queue && !subscribed.test(queue)) throw new Error(`not a queue group: ${quoted(queue)}`)
}
const quoted = (text: string): string => JSON.stringify(text.slice(0, 200))
