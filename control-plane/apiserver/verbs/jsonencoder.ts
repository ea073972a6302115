/** Events of a watch as lines of JSON: whole objects, or a view of them. */
import { managedFields } from '#shared/client/omit.ts'
import type { Status } from '#shared/machinery/status.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import type { Output } from '../chain/mediatype.ts'
import { servedJson } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Stored } from '../registry/registry.ts'
import { withoutManagedFields } from '../registry/stored.ts'
import { shared, type Encoded, type Encoder, type EventType } from './encoder.ts'
import { bookmarkObject, objectAs } from './views.ts'

const text = (type: string, object: object): Encoded => [Buffer.from(`${JSON.stringify({ type, object })}\n`)]
const error = (status: Status): Encoded => text('ERROR', status)
const contentType = 'application/json'

const headOf = (type: EventType): Buffer => Buffer.from(`{"type":"${type}","object":`)
const heads: Readonly<Record<EventType, Buffer>> = { ADDED: headOf('ADDED'), MODIFIED: headOf('MODIFIED'), DELETED: headOf('DELETED') }
const tail = Buffer.from('}\n')

/** Events of larger objects stay in parts. */
const joinedBytes = 32 * 1024
/** One event: the object's bytes are those of the store. */
function line(type: EventType, json: readonly Buffer[]): Encoded {
  const parts = [heads[type], ...json, tail]
  const size = parts.reduce((n, part) => n + part.length, 0)
  return size > joinedBytes ? parts : [Buffer.concat(parts, size)]
}

/** Whether objects go out without managedFields: the client names them in the omit header, and they need no conversion. */
export const isLean = (endpoint: Endpoint, omit: string | undefined): boolean => omit === managedFields && endpoint.sole

/** `omit` is what the client named in the header of that name: components have no use for managedFields, a third of most objects. */
export function jsonEncoder(endpoint: Endpoint, omit: string | undefined): Encoder {
  const lean = isLean(endpoint, omit)
  const write = (type: EventType, stored: Stored): Maybe<Encoded> =>
    lean ? line(type, withoutManagedFields(stored)) : after(servedJson(endpoint, stored), json => line(type, [json]))
  return {
    contentType,
    error,
    event: shared(endpoint, lean ? 'lean' : 'json', write),
    initial: stored => write('ADDED', stored),
    bookmark: (version, end) => text('BOOKMARK', bookmarkObject(endpoint, version, end)),
  }
}

/** Tables and PartialObjectMetadata. */
export function viewEncoder(endpoint: Endpoint, output: Output, query: URLSearchParams): Encoder {
  const write = (type: EventType, stored: Stored, headers = false): Maybe<Encoded> =>
    after(objectAs(endpoint, stored, output, query, headers), object => text(type, object))
  const ofMany = shared(endpoint, `${output.as} ${output.version} ${query.get('includeObject') ?? ''}`, write)
  // Only the first table of a watch has its column definitions.
  let first = output.as === 'Table'
  const event = (type: EventType, stored: Stored, encode: typeof ofMany): Maybe<Encoded> => {
    if (!first) return encode(type, stored)
    first = false
    return write(type, stored, true)
  }
  return {
    contentType,
    error,
    event: (type, stored) => event(type, stored, ofMany),
    initial: stored => event('ADDED', stored, write),
    bookmark: (version, end) => {
      const object = bookmarkObject(endpoint, version, end)
      const apiVersion = `meta.k8s.io/${output.version}`
      if (output.as !== 'Table') return text('BOOKMARK', { ...object, kind: 'PartialObjectMetadata', apiVersion })
      // A table of no rows would hide the version: upstream shows the bookmark's object in a row.
      const row = { cells: [], object: { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata } }
      const metadata = { resourceVersion: String(version) }
      return text('BOOKMARK', { kind: 'Table', apiVersion, metadata, columnDefinitions: null, rows: [row] })
    },
  }
}
