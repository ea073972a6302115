/**
 * YAML bodies: read as upstream's YAML 1.1 parser (go-yaml 2, k8s.io's fork) reads them and turned into JSON text, on which the ordinary
 * decoding goes on. The parser's events are composed here: what a body may expand to has to be bounded, and keys that come twice are told.
 */
import { EVENT_ID, getScalarValue, parseEvents, SCALAR_STYLE, YAMLException, type Event, type ScalarEvent } from 'js-yaml'
import { DecodeError } from './decode.ts'
import { maxDepth, setOwn } from './jsonvalue.ts'

/** Bytes of source that aliases may repeat: a small body must not become a huge one. As much as a body in JSON may have. */
const maxAliased = 3 * 1024 * 1024
/** Keys set twice that are listed. */
const maxDuplicates = 100

/**
 * The JSON text of the first document of a YAML stream, and the keys that it sets twice in upstream's words (`line 4: key "name" already
 * set in map`). An empty document is `null`. Throws DecodeError when it is no YAML or no mapping.
 */
export function yamlToJson(text: string): { json: string; duplicate: string[] } {
  try {
    const composer = new Composer(text, parseEvents(text, { maxDepth }))
    const value = composer.document()
    if (Array.isArray(value)) throw new DecodeError('json: cannot unmarshal array into Go value of type map[string]interface {}')
    if (value !== null && !isMapping(value))
      throw new DecodeError('json: cannot unmarshal string into Go value of type map[string]interface {}')
    return { json: JSON.stringify(value), duplicate: composer.duplicate }
  } catch (e) {
    if (!(e instanceof YAMLException)) throw e
    const why = e.reason.startsWith('nesting exceeded') ? `exceeded max depth of ${maxDepth}` : e.reason
    throw new DecodeError(`yaml: line ${(e.mark?.line ?? 0) + 1}: ${why}`)
  }
}

/** An integer with more digits than a number holds, written as it is. */
const rawJson = (JSON as unknown as { rawJSON(text: string): object }).rawJSON
type Mapping = Record<string, unknown>
const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.getPrototypeOf(value) !== null

/** What an anchor stands for; no value yet while its node is being read. */
interface Anchor {
  bytes: number
  value?: unknown
}

class Composer {
  readonly duplicate: string[] = []
  readonly #text: string
  readonly #events: readonly Event[]
  readonly #anchors = new Map<string, Anchor>()
  #next = 0
  #aliased = 0
  /** Where the last line that was asked for is, so that lines are counted once. */
  #offset = 0
  #line = 1

  constructor(text: string, events: readonly Event[]) {
    this.#text = text
    this.#events = events
  }

  document(): unknown {
    if (this.#events[this.#next++]?.type !== EVENT_ID.DOCUMENT || this.#events[this.#next]?.type === EVENT_ID.POP) return null
    return this.#node()
  }

  #node(): unknown {
    const event = this.#events[this.#next++]!
    switch (event.type) {
      case EVENT_ID.ALIAS:
        return this.#alias(this.#text.slice(event.anchorStart, event.anchorEnd))
      case EVENT_ID.SCALAR: {
        const value = scalar(this.#text, event)
        this.#anchor(event, value, event.valueEnd - event.valueStart)
        return value
      }
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING: {
        const anchor = this.#anchor(event)
        const before = this.#aliased
        const value = event.type === EVENT_ID.SEQUENCE ? this.#sequence() : this.#mapping()
        if (anchor) {
          anchor.value = value
          anchor.bytes = this.#end - event.start + (this.#aliased - before)
        }
        return value
      }
      default:
        throw new DecodeError('yaml: unexpected end of the document')
    }
  }

  /** An offset behind all that was read, to the next node's beginning. */
  get #end(): number {
    for (let i = this.#next; i < this.#events.length; i++) {
      const e = this.#events[i]!
      if (e.type === EVENT_ID.SCALAR) return e.valueStart
      if (e.type === EVENT_ID.ALIAS) return e.anchorStart
      if (e.type === EVENT_ID.SEQUENCE || e.type === EVENT_ID.MAPPING) return e.start
    }
    return this.#text.length
  }

  /** Remembers the anchor of a node, if it has one. */
  #anchor(event: { anchorStart: number; anchorEnd: number }, value?: unknown, bytes = 0): Anchor | undefined {
    if (event.anchorStart < 0) return undefined
    const anchor: Anchor = value === undefined ? { bytes } : { bytes, value }
    this.#anchors.set(this.#text.slice(event.anchorStart, event.anchorEnd), anchor)
    return anchor
  }

  #alias(name: string): unknown {
    const anchor = this.#anchors.get(name)
    if (!anchor) throw new DecodeError(`yaml: unknown anchor '${name}' referenced`)
    if (anchor.value === undefined) throw new DecodeError(`yaml: anchor '${name}' value contains itself`)
    this.#aliased += anchor.bytes + 1
    if (this.#aliased > maxAliased) throw new DecodeError('yaml: document contains excessive aliasing')
    return anchor.value
  }

  #sequence(): unknown[] {
    const out: unknown[] = []
    while (this.#events[this.#next]!.type !== EVENT_ID.POP) out.push(this.#node())
    this.#next++
    return out
  }

  #mapping(): Mapping {
    const out: Mapping = {}
    const merged: Mapping[] = []
    while (this.#events[this.#next]!.type !== EVENT_ID.POP) {
      const event = this.#events[this.#next]!
      const key = this.#node()
      const value = this.#node()
      if (event.type === EVENT_ID.SCALAR && key === '<<' && event.style === SCALAR_STYLE.PLAIN) {
        merged.push(...this.#merge(value))
        continue
      }
      const name = keyText(key)
      if (Object.hasOwn(out, name) && event.type === EVENT_ID.SCALAR) this.#repeated(event.valueStart, name)
      setOwn(out, name, value)
    }
    this.#next++
    for (const from of merged) for (const name of Object.keys(from)) if (!Object.hasOwn(out, name)) setOwn(out, name, from[name])
    return out
  }

  /** What `<<` brings: of several mappings the first one counts. */
  #merge(value: unknown): Mapping[] {
    const list = Array.isArray(value) ? (value as unknown[]) : [value]
    if (!list.every(isMapping)) throw new DecodeError('yaml: map merge requires map or sequence of maps as the value')
    return list
  }

  #repeated(offset: number, name: string): void {
    if (this.duplicate.length >= maxDuplicates) return
    for (; this.#offset < offset; this.#offset++) if (this.#text.charCodeAt(this.#offset) === 0x0a) this.#line++
    this.duplicate.push(`line ${this.#line}: key ${JSON.stringify(name)} already set in map`)
  }
}

/** A key as sigs.k8s.io/yaml writes it in JSON. */
function keyText(key: unknown): string {
  if (typeof key === 'string') return key
  if (typeof key === 'number' || typeof key === 'boolean') return String(key)
  if (key === null || Array.isArray(key) || isMapping(key)) throw new DecodeError('yaml: invalid map key')
  return JSON.stringify(key)
}

const words = new Map<string, boolean | null>([
  ...['', '~', 'null', 'Null', 'NULL'].map(word => [word, null] as const),
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map(word => [word, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map(word => [word, false] as const),
])
const notFinite = /^(?:\.nan|\.NaN|\.NAN|[-+]?\.(?:inf|Inf|INF))$/
const float = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/
const integer = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/

/** `yes`, `on` and `y` are booleans, `0777` is octal; there are no sexagesimal numbers, and dates stay text. */
function scalar(text: string, event: ScalarEvent): unknown {
  const value = getScalarValue(text, event)
  const tag = event.tagStart < 0 ? '' : text.slice(event.tagStart, event.tagEnd)
  if (tag === '' ? event.style !== SCALAR_STYLE.PLAIN : !/^!!(?:null|bool|int|float)$/.test(tag)) return value
  const word = words.get(value)
  if (word !== undefined) return word
  // Nothing else that is no text begins with anything else.
  const first = value.charCodeAt(0)
  if (first > 0x39 || first < 0x2b) return value
  if (notFinite.test(value)) throw new DecodeError(`json: unsupported value: ${value.includes('n') && !/inf/i.test(value) ? 'NaN' : 'Inf'}`)
  const digits = value.replaceAll('_', '')
  const whole = integer.exec(digits)
  if (whole) return integerOf(whole)
  return float.test(digits) ? Number(digits) : value
}

function integerOf([, sign, hex, binary, octal, decimal]: RegExpExecArray): unknown {
  const text = hex ? `0x${hex}` : binary ? `0b${binary}` : octal ? `0o${octal}` : decimal!
  const size = Number(text)
  if (Number.isSafeInteger(size)) return sign === '-' ? -size : size
  // As many digits as a 64-bit integer may have are kept; more is a float.
  return text.length > 66 || !rawJson ? Number(text) : rawJson(`${sign === '-' ? '-' : ''}${BigInt(text)}`)
}
