/** One version of an object: its JSON with the version spliced in, parsed when somebody asks. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Stored } from './registry.ts'

const marker = '"metadata":{'
const versionField = (version: number): string => `"resourceVersion":"${version}"`

/**
 * What is kept in the stream: JSON without a version, with kind, apiVersion and metadata first, so that the first `"metadata":{` is the
 * object's own. In metadata managedFields are first, so that they can be cut out.
 */
export function encode(object: KubeObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object
  return Buffer.from(
    JSON.stringify({
      kind,
      apiVersion,
      metadata: { managedFields: metadata.managedFields, ...metadata, resourceVersion: undefined },
      ...rest,
    }),
  )
}

class StoredObject implements Stored {
  readonly namespace: string
  readonly name: string
  readonly version: number
  readonly json: Buffer
  #object: KubeObject | undefined
  constructor(namespace: string, name: string, version: number, json: Buffer, object?: KubeObject) {
    this.namespace = namespace
    this.name = name
    this.version = version
    this.json = json
    this.#object = object
  }
  get object(): KubeObject {
    return (this.#object ??= JSON.parse(this.json.toString()) as KubeObject)
  }
  /** The object when it is parsed already. */
  get parsed(): KubeObject | undefined {
    return this.#object
  }
  release(): void {
    this.#object = undefined
  }
}

const withVersion = (object: KubeObject, version: number): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: String(version) },
})

/** From bytes that `encode` made, copied. `object` is what they were made of, when this process made them: then nothing is parsed. */
export function newStored(namespace: string, name: string, version: number, data: Uint8Array, object?: KubeObject): Stored {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const at = bytes.indexOf(marker) + marker.length
  if (at < marker.length) throw new Error(`no metadata in the stored object ${namespace}/${name}`)
  const field = bytes[at] === 0x7d ? versionField(version) : `${versionField(version)},`
  // In memory of its own: a slice of Node's pool keeps the whole 64 KiB, most of which was some request's.
  const json = Buffer.allocUnsafeSlow(bytes.length + field.length)
  bytes.copy(json, 0, 0, at)
  json.write(field, at, 'latin1')
  bytes.copy(json, at + field.length, at)
  return new StoredObject(namespace, name, version, json, object && withVersion(object, version))
}

/** The same object carrying another version: what a DELETED event shows. */
export function restamped(stored: Stored, version: number): Stored {
  const at = stored.json.indexOf(marker) + marker.length
  const json = Buffer.concat([
    stored.json.subarray(0, at),
    Buffer.from(versionField(version)),
    stored.json.subarray(at + versionField(stored.version).length),
  ])
  const parsed = stored instanceof StoredObject ? stored.parsed : undefined
  return new StoredObject(stored.namespace, stored.name, version, json, parsed && withVersion(parsed, version))
}

/**
 * Forgets the parsed form: what is kept for long costs the garbage collector more than to parse it again for the few that are asked for.
 */
export function release(stored: Stored): void {
  if (stored instanceof StoredObject) stored.release()
}

const managed = '"managedFields":['
/** The JSON without metadata.managedFields, in parts. */
export function withoutManagedFields({ json, version }: Stored): readonly Buffer[] {
  const start = json.indexOf(marker) + marker.length + versionField(version).length + 1
  if (json.toString('latin1', start, start + managed.length) !== managed) return [json]
  const end = endOfArray(json, start + managed.length - 1)
  // With the comma that is left over, behind or before.
  return json[end] === comma ? [json.subarray(0, start), json.subarray(end + 1)] : [json.subarray(0, start - 1), json.subarray(end)]
}

const [comma, quote, backslash, opening, closing] = [0x2c, 0x22, 0x5c, 0x5b, 0x5d]
/** Behind the bracket that closes the one at `at`. */
function endOfArray(json: Buffer, at: number): number {
  let depth = 0
  for (let i = at; i < json.length; i++) {
    const c = json[i]
    if (c === quote) {
      for (i++; i < json.length && json[i] !== quote; i++) if (json[i] === backslash) i++
    } else if (c === opening) depth++
    else if (c === closing && --depth === 0) return i + 1
  }
  return json.length
}
