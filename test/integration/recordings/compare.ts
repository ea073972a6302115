/** Whether an answer is as recorded: what must be equal, and what may differ because fields were added since. */
import { gone, renamed, reworded } from './differences.ts'
import type { Recording } from './recording.ts'

export interface Answer {
  code: number
  body: unknown
}
interface StatusBody {
  reason?: string
  message?: string
  details?: { causes?: { field?: string; reason?: string; message?: string }[] }
}

/** What differs, in words; undefined when nothing that counts does. */
export function difference(recording: Recording, answer: Answer): string | undefined {
  const want = recording.response
  const status = (answer.body ?? {}) as StatusBody
  if (answer.code !== want.code)
    return `code ${answer.code} instead of ${want.code}: ${status.message ?? ''} / ${(want.body as StatusBody | undefined)?.message ?? ''}`
  // Texts: streams of events, health pages.
  if (typeof want.body === 'string') return undefined
  if (want.code >= 200 && want.code < 300) return missing(withoutGone(want.body), answer.body, '')
  const wanted = (want.body ?? {}) as StatusBody
  if (status.reason !== wanted.reason) return `reason ${status.reason} instead of ${wanted.reason}`
  // Words of decoding errors and of conflicts changed over the years.
  if (want.code !== 422) return undefined
  const [have, expected] = [causes(status), causes(wanted)]
  if (have.join('\n') !== expected.join('\n'))
    return `causes [${have.join('; ')}] instead of [${expected.join('; ')}]: ${status.message ?? ''}`
  return undefined
}

/** The causes as sorted texts: field, reason, and the message without quoted values. */
function causes(status: StatusBody): string[] {
  const texts = (status.details?.causes ?? []).map(
    c => `${renamed.reduce((f, r) => f.replace(r.field, r.as), c.field ?? '')} ${c.reason} ${maskValues(c.message ?? '')}`,
  )
  return [...new Set(texts)].sort()
}

/** A message without the value that it shows (Go prints structs, maps and pointers in ways of its own) and without what is quoted. */
function maskValues(message: string): string {
  const text = reworded.reduce((t, r) => t.replace(r.text, r.as), message.split('\n')[0]!)
  const head = /^(Invalid value|Unsupported value|Duplicate value|Not found): /.exec(text)
  return (head ? `${head[1]}: ${afterValue(text.slice(head[0].length))}` : text)
    .replace(/"(?:[^"\\]|\\.)*"/g, '"_"')
    .replace(/'[^']*'/g, "'_'")
}
/** What follows the value: the value ends at the first `: ` outside of brackets and quotes. */
function afterValue(text: string): string {
  let depth = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (quoted) {
      if (c === '\\') i++
      else if (c === '"') quoted = false
    } else if (c === '"') quoted = true
    else if ('{[('.includes(c)) depth++
    else if ('}])'.includes(c)) depth--
    else if (depth === 0 && text.startsWith(': ', i)) return text.slice(i + 2)
  }
  return ''
}

/** The first place at which `want` is not in `have`; null and absence are one, lists are compared item by item. */
function missing(want: unknown, have: unknown, path: string): string | undefined {
  if (want === null || want === '')
    return have === undefined || have === null || have === '' || isZeroStruct(have)
      ? undefined
      : `${path}: ${show(have)} instead of nothing`
  // Ages: the requests come at other times.
  if (want === '0s' && path.startsWith('.rows') && /^\d+s$/.test(String(have))) return undefined
  if (typeof want === 'string') return matches(want, have) ? undefined : `${path}: ${show(have)} instead of ${show(want)}`
  if (typeof want !== 'object') return want === have ? undefined : `${path}: ${show(have)} instead of ${show(want)}`
  if (Array.isArray(want)) {
    if (!Array.isArray(have)) return `${path}: ${show(have)} instead of a list`
    if (have.length !== want.length) return `${path}: ${have.length} items instead of ${want.length}: ${show(have)} / ${show(want)}`
    return first(want.map((w, i) => missing(w, have[i], `${path}[${i}]`)))
  }
  if (typeof have !== 'object' || have === null) return `${path}: ${show(have)} instead of ${show(want)}`
  return first(Object.entries(want as object).map(([k, w]) => missing(w, (have as Record<string, unknown>)[k], `${path}.${k}`)))
}
const first = (found: (string | undefined)[]): string | undefined => found.find(f => f !== undefined)
const show = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 300)
const isZeroStruct = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.keys(value).length === 0

/** Masks stand for any text. */
function matches(want: string, have: unknown): boolean {
  if (!/<(uid|rv|time|ip|port)>/.test(want)) return want === have
  const pattern = want
    .split(/<(?:uid|rv|time|ip|port)>/)
    .map(p => p.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^"]+')
  return (typeof have === 'string' || typeof have === 'number') && new RegExp(`^${pattern}$`).test(String(have))
}

/** The recorded body without the fields that no longer exist. */
function withoutGone(body: unknown): unknown {
  const copy: unknown = structuredClone(body)
  const paths = gone.map(({ field }) => [...field.matchAll(/\[([^\]]+)\]|[^.[\]]+/g)].map(m => m[1] ?? m[0]))
  const items = (copy as { items?: unknown } | null)?.items
  for (const object of Array.isArray(items) ? items : [copy]) for (const path of paths) remove(object, path)
  return copy
}
function remove(value: unknown, [head, ...rest]: readonly string[]): void {
  if (typeof value !== 'object' || value === null || head === undefined) return
  const object = value as Record<string, unknown>
  if (rest.length > 0) return remove(object[head], rest)
  delete object[head]
}
