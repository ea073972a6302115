/** Field paths and field errors, worded as k8s.io/apimachinery/pkg/util/validation/field words them. */

/**
 * A path into an object; `String(path)` gives `spec.containers[0].ports[1].name`. Immutable. Its text is made when it is asked for: few
 * paths have an error.
 */
export class Path {
  readonly #parent: Path | undefined
  readonly #name: string | number
  readonly #bracketed: boolean
  constructor(name: string | number = '', parent?: Path, bracketed = false) {
    this.#name = name
    this.#parent = parent
    this.#bracketed = bracketed
  }
  /** Appends one or more field names. */
  child(name: string, ...more: string[]): Path {
    let path = new Path(name, this)
    for (let i = 0; i < more.length; i++) path = new Path(more[i], path)
    return path
  }
  index(i: number): Path {
    return new Path(i, this, true)
  }
  /** A key of a map, `data[key]`. */
  key(k: string): Path {
    return new Path(k, this, true)
  }
  toString(): string {
    const before = this.#parent === undefined ? '' : String(this.#parent)
    if (this.#bracketed) return `${before}[${this.#name}]`
    return before === '' ? String(this.#name) : `${before}.${this.#name}`
  }
}

export type CauseReason =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueDuplicate'
  | 'FieldValueNotFound'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'
  | 'InternalError'

/** One rule broken at one field; `message` is the cause's message without the field: `Invalid value: "x": must be ...`. */
export interface FieldError {
  reason: CauseReason
  field: string
  message: string
}

/** Characters of a bad value that an error shows; the rest is left out. */
const maxShown = 2048

/** A bad value as upstream prints it after `Invalid value: `: in quotes, plainly or as JSON; of a bounded length. */
function show(value: unknown): string {
  if (value === undefined || value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value.length > maxShown ? `${value.slice(0, maxShown)}...` : value)
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  const writer = { text: '' }
  writeJson(writer, value)
  const text = writer.text.length > maxShown ? `${writer.text.slice(0, maxShown)}...` : writer.text
  return text.replace(/[<>&]/g, goEscape)
}

/** Go's JSON is fit for HTML. */
const goEscape = (c: string): string => `\\u00${c.charCodeAt(0).toString(16)}`

/** JSON.stringify, but it stops a little behind `maxShown`: a long list is not written once for each error in it. */
function writeJson(out: { text: string }, value: unknown): void {
  if (out.text.length > maxShown) return
  if (typeof value === 'string' && value.length > maxShown) out.text += JSON.stringify(value.slice(0, maxShown))
  else if (typeof value !== 'object' || value === null) out.text += JSON.stringify(value) ?? 'null'
  else if (Array.isArray(value)) {
    out.text += '['
    for (let i = 0; i < value.length && out.text.length <= maxShown; i++) {
      if (i > 0) out.text += ','
      writeJson(out, value[i])
    }
    out.text += ']'
  } else {
    let separator = '{'
    for (const key in value) {
      if (out.text.length > maxShown) break
      const inner = (value as Record<string, unknown>)[key]
      if (inner === undefined) continue
      out.text += `${separator}${JSON.stringify(key)}:`
      writeJson(out, inner)
      separator = ','
    }
    out.text += separator === '{' ? '{}' : '}'
  }
}

/** The errors that a validation makes while `findErrors` runs it. */
let found: FieldError[] | undefined
class TooManyErrors extends Error {}

/** Errors that are looked for in one object: upstream has no bound, but its objects do not block all others. */
export const maxErrors = 1000

/**
 * What `rules` find wrong with an object. They are stopped when they have found `maxErrors`: then these are returned with one more that
 * says so. Within another one it counts for itself.
 */
export function findErrors(rules: () => FieldError[]): FieldError[] {
  const outer = found
  const mine: FieldError[] = (found = [])
  try {
    return rules()
  } catch (e) {
    if (!(e instanceof TooManyErrors)) throw e
    return [...mine, { reason: 'FieldValueTooMany', field: '<root>', message: `Too many: only the first ${maxErrors} errors are shown` }]
  } finally {
    found = outer
  }
}

/** How many errors the running `findErrors` counts, and how to forget those that came after: they turned out to be none. */
export const countErrors = (): number => found?.length ?? 0
export function forgetErrors(after: number): void {
  if (found) found.length = after
}

function make(reason: CauseReason, path: Path, message: string): FieldError {
  return counted({ reason, field: String(path), message })
}
/** Counts an error that another `findErrors` found, which is one of this object, too. */
export function counted(error: FieldError): FieldError {
  if (found && found.push(error) >= maxErrors) throw new TooManyErrors()
  return error
}
const withDetail = (head: string, detail: string): string => (detail === '' ? head : `${head}: ${detail}`)

export const required = (path: Path, detail = ''): FieldError => make('FieldValueRequired', path, withDetail('Required value', detail))
export const invalid = (path: Path, value: unknown, detail: string): FieldError =>
  make('FieldValueInvalid', path, withDetail(`Invalid value: ${show(value)}`, detail))
/** The same of a value that is not shown: the whole of it is wrong. */
export const invalidAt = (path: Path, detail: string): FieldError => make('FieldValueInvalid', path, withDetail('Invalid value', detail))
export const forbidden = (path: Path, detail: string): FieldError => make('FieldValueForbidden', path, withDetail('Forbidden', detail))
export const duplicate = (path: Path, value: unknown): FieldError => make('FieldValueDuplicate', path, `Duplicate value: ${show(value)}`)
export const notFound = (path: Path, value: unknown): FieldError => make('FieldValueNotFound', path, `Not found: ${show(value)}`)
export const typeInvalid = (path: Path, value: unknown, detail: string): FieldError =>
  make('FieldValueTypeInvalid', path, withDetail(`Invalid value: ${show(value)}`, detail))
export const tooLong = (path: Path, maxBytes: number): FieldError =>
  make('FieldValueTooLong', path, `Too long: may not be more than ${maxBytes} bytes`)
export const tooMany = (path: Path, actual: number, max: number): FieldError =>
  make('FieldValueTooMany', path, `Too many: ${actual}: must have at most ${max} items`)
export const internal = (path: Path, detail: string): FieldError => make('InternalError', path, `Internal error: ${detail}`)
/** With the values that are supported: those of a set in order, as upstream's are. */
export const notSupported = (path: Path, value: unknown, supported: readonly string[]): FieldError =>
  notListed(path, value, [...supported].sort())
/** The same with the values as they are listed. */
export const notListed = (path: Path, value: unknown, supported: readonly string[]): FieldError =>
  make(
    'FieldValueNotSupported',
    path,
    withDetail(
      `Unsupported value: ${show(value)}`,
      supported.length > 0 ? `supported values: ${supported.map(s => JSON.stringify(s)).join(', ')}` : '',
    ),
  )
