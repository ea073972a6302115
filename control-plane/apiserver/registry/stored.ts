/** One version of an object: its JSON with the version spliced in, parsed when somebody asks. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { bigintsWritten, parseWide } from '#shared/machinery/int64.ts'
import type { IndexedFields, Stored } from './registry.ts'

const marker = '"metadata":{'
const versionField = (version: number): string => `"resourceVersion":"${version}"`

/**
 * What is kept in the stream: JSON without a version, with kind, apiVersion and metadata first, so that the first `"metadata":{` is the
 * object's own. In metadata managedFields are first, so that they can be cut out. A space behind it says that it has integers that only a
 * bigint holds: all other JSON is parsed without a look at its numbers.
 */
export function encode(object: KubeObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object
  const before = bigintsWritten()
  const text = JSON.stringify({
    kind,
    apiVersion,
    metadata: { managedFields: metadata.managedFields, ...metadata, resourceVersion: undefined },
    ...rest,
  })
  return Buffer.from(bigintsWritten() === before ? text : `${text} `)
}

class StoredObject implements Stored {
  readonly namespace: string
  readonly name: string
  readonly version: number
  readonly json: Buffer
  indexed: Readonly<Record<string, string>> | undefined
  #object: KubeObject | undefined
  /** Null: not looked at yet. */
  #labels: KubeObject['metadata']['labels'] | null = null
  constructor(namespace: string, name: string, version: number, json: Buffer, object?: KubeObject, fields?: IndexedFields) {
    this.namespace = namespace
    this.name = name
    this.version = version
    this.json = json
    this.#object = object
    if (!fields) return
    const whole = object ?? parse(json)
    this.indexed = valuesOf(fields, whole)
    this.#labels = whole.metadata.labels
  }
  get object(): KubeObject {
    if (this.#object) return this.#object
    const object = (this.#object = parse(this.json))
    keepParsed(this)
    return object
  }
  get labels(): KubeObject['metadata']['labels'] {
    if (this.#labels === null) this.#labels = (this.#object?.metadata ?? metadataOf(this)).labels
    return this.#labels
  }
  /** The object when it is parsed already. */
  get parsed(): KubeObject | undefined {
    return this.#object
  }
  release(): void {
    this.#object = undefined
  }
  /** The same object with another version in it. */
  restamped(version: number, json: Buffer): StoredObject {
    const other = new StoredObject(this.namespace, this.name, version, json, this.#object && withVersion(this.#object, version))
    other.#labels = this.#labels
    other.indexed = this.indexed
    return other
  }
}

const parse = (json: Buffer): KubeObject =>
  (json[json.length - 1] === space ? parseWide(json.toString()) : JSON.parse(json.toString())) as KubeObject

/** An object that is not as its kind should be has empty fields. */
function valuesOf(fields: IndexedFields, object: KubeObject): Record<string, string> {
  const values: Record<string, string> = {}
  for (const path in fields) {
    try {
      values[path] = fields[path]!(object)
    } catch {
      values[path] = ''
    }
  }
  return values
}

/** So many objects stay parsed, and as much JSON of theirs: those that were parsed last. */
const mostParsed = 4096
const mostParsedBytes = 64 << 20
const lately: (StoredObject | undefined)[] = Array.from({ length: mostParsed })
let oldest = 0
let count = 0
let bytes = 0
function keepParsed(stored: StoredObject): void {
  while (count === mostParsed || (count > 0 && bytes + stored.json.length > mostParsedBytes)) {
    const out = lately[oldest]!
    lately[oldest] = undefined
    oldest = (oldest + 1) % mostParsed
    count--
    bytes -= out.json.length
    // Parsed a second time meanwhile, it is once more here and released a little early.
    out.release()
  }
  lately[(oldest + count++) % mostParsed] = stored
  bytes += stored.json.length
}

const withVersion = (object: KubeObject, version: number): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: String(version) },
})

/**
 * From bytes that `encode` made, copied. `object` is what they were made of, when this process made them: then nothing is parsed. `fields`
 * are those that the table is indexed by.
 */
export function newStored(
  namespace: string,
  name: string,
  version: number,
  data: Uint8Array,
  object?: KubeObject,
  fields?: IndexedFields,
): Stored {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const at = bytes.indexOf(marker) + marker.length
  if (at < marker.length) throw new Error(`no metadata in the stored object ${namespace}/${name}`)
  const field = bytes[at] === 0x7d ? versionField(version) : `${versionField(version)},`
  // In memory of its own: a slice of Node's pool keeps the whole 64 KiB, most of which was some request's.
  const json = Buffer.allocUnsafeSlow(bytes.length + field.length)
  bytes.copy(json, 0, 0, at)
  json.write(field, at, 'latin1')
  bytes.copy(json, at + field.length, at)
  return new StoredObject(namespace, name, version, json, object && withVersion(object, version), fields)
}

/** An object that has no version: what a dry run shows. */
export const unversioned = (namespace: string, name: string, object: KubeObject): Stored =>
  new StoredObject(namespace, name, 0, encode(object), object)

/** The same object carrying another version: what a DELETED event shows. */
export function restamped(stored: Stored, version: number): Stored {
  const at = stored.json.indexOf(marker) + marker.length
  const json = Buffer.concat([
    stored.json.subarray(0, at),
    Buffer.from(versionField(version)),
    stored.json.subarray(at + versionField(stored.version).length),
  ])
  return (stored as StoredObject).restamped(version, json)
}

/**
 * Forgets the parsed form: what is kept for long costs the garbage collector more than to parse it again for the few that are asked for.
 */
export function release(stored: Stored): void {
  ;(stored as StoredObject).release()
}

const managed = '"managedFields":['
/** Behind the version and its comma in the metadata, or behind the brace that closes it when nothing follows. */
const behindVersion = ({ json, version }: Pick<Stored, 'json' | 'version'>): number =>
  json.indexOf(marker) + marker.length + versionField(version).length + 1
const startsManaged = (json: Buffer, at: number): boolean => json.toString('latin1', at, at + managed.length) === managed

/** The JSON without metadata.managedFields, in parts. */
export function withoutManagedFields(stored: Stored): readonly Buffer[] {
  const { json } = stored
  const start = behindVersion(stored)
  if (!startsManaged(json, start)) return [json]
  const end = endOf(json, start + managed.length - 1)
  // With the comma that is left over, behind or before.
  return json[end] === comma ? [json.subarray(0, start), json.subarray(end + 1)] : [json.subarray(0, start - 1), json.subarray(end)]
}

/** The metadata alone, without version and managedFields. */
function metadataOf(stored: StoredObject): KubeObject['metadata'] {
  const { json } = stored
  let start = behindVersion(stored)
  if (startsManaged(json, start)) start = endOf(json, start + managed.length - 1) + 1
  if (json[start - 1] === closeObject) return {}
  return JSON.parse(`{${json.toString('utf8', start, endOf(json, start, 1))}`) as KubeObject['metadata']
}

const [comma, quote, backslash, space] = [0x2c, 0x22, 0x5c, 0x20]
const [openArray, closeArray, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d]
/** Behind the bracket that closes the one at `at`, or with `depth` 1 the one in which `at` is. */
function endOf(json: Buffer, at: number, depth = 0): number {
  for (let i = at; i < json.length; i++) {
    const c = json[i]
    if (c === quote) {
      for (i++; i < json.length && json[i] !== quote; i++) if (json[i] === backslash) i++
    } else if (c === openArray || c === openObject) depth++
    else if ((c === closeArray || c === closeObject) && --depth === 0) return i + 1
  }
  return json.length
}
