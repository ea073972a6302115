/** Stored objects as protobuf: lists in pieces, and the events of a watch, each a metav1.WatchEvent with its length in front. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { listMeta } from '#shared/api/meta/listmeta.ts'
import { encodeMessage, envelope, messageHead } from '#shared/machinery/protobuf-encode.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { encodeValue, protobufType } from '../chain/protobuf.ts'
import { pauses } from '../chain/turn.ts'
import type { Output } from '../chain/mediatype.ts'
import type { Answer } from '../chain/response.ts'
import type { Stored } from '../registry/registry.ts'
import { served, servedAll } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { partialMetadata } from '../table/partial.ts'
import { bookmarkObject, objectAs } from './views.ts'
import { shared, type Encoded, type Encoder, type EventType } from './encoder.ts'

/** Only endpoints whose codec has a protobuf form come here. */
const messageOf = ({ codec }: Endpoint, object: KubeObject): Buffer => codec.protobuf!.encode(object)

/** Others have their turn after so many objects. */
const turn = 50
const pieceBytes = 1 << 20

/** A list. All of it is encoded first: the length is in front. */
export async function protobufList(endpoint: Endpoint, items: readonly Stored[], meta: object): Promise<Answer> {
  const pause = pauses()
  const metadata = encodeMessage(listMeta, meta)
  const parts = [messageHead(1, metadata.length), metadata]
  const objects = endpoint.sole ? undefined : await servedAll(endpoint, items)
  for (const [i, item] of items.entries()) {
    const message = messageOf(endpoint, objects ? objects[i]! : item.object)
    parts.push(messageHead(2, message.length), message)
    if (i % turn === turn - 1) await pause()
  }
  const length = parts.reduce((n, part) => n + part.length, 0)
  const { head, tail } = envelope(endpoint.apiVersion, endpoint.listKind, length)
  parts.unshift(head)
  parts.push(tail)
  return { code: 200, headers: { 'content-type': protobufType }, body: length <= pieceBytes ? Buffer.concat(parts) : pieces(parts) }
}

async function* pieces(parts: readonly Buffer[]): AsyncIterable<Uint8Array> {
  let held: Buffer[] = []
  let size = 0
  for (const part of parts) {
    held.push(part)
    size += part.length
    if (size < pieceBytes) continue
    yield Buffer.concat(held)
    held = []
    size = 0
  }
  yield Buffer.concat(held)
}

/** One event: its length, type and object; the object's bytes are shared. */
function frame(type: string, before: Buffer, message: Buffer, after: Buffer): readonly Buffer[] {
  const size = before.length + message.length + after.length
  const raw = messageHead(1, size)
  const object = messageHead(2, raw.length + size)
  const head = Buffer.allocUnsafe(4 + 2 + type.length)
  head.writeUInt32BE(2 + type.length + object.length + raw.length + size)
  head[4] = 0x0a
  head[5] = type.length
  head.write(type, 6, 'latin1')
  return [Buffer.concat([head, object, raw, before]), message, after]
}

const none = Buffer.alloc(0)

export function protobufEncoder(endpoint: Endpoint, output: Output, query: URLSearchParams): Encoder {
  const value = (type: string, object: object): Encoded => frame(type, none, encodeValue(object) ?? none, none)
  const whole = (type: string, message: Buffer): Encoded => {
    const { head, tail } = envelope(endpoint.apiVersion, endpoint.kind, message.length)
    return frame(type, head, message, tail)
  }
  const write = (type: EventType, stored: Stored): Maybe<Encoded> =>
    output.as === ''
      ? after(served(endpoint, stored), object => whole(type, messageOf(endpoint, object)))
      : after(objectAs(endpoint, stored, output, query), object => value(type, object))
  return {
    contentType: `${protobufType};stream=watch`,
    event: shared(endpoint, `protobuf ${output.as} ${output.version}`, write),
    initial: stored => write('ADDED', stored),
    bookmark(version, end) {
      const object = bookmarkObject(endpoint, version, end)
      return output.as === '' ? whole('BOOKMARK', messageOf(endpoint, object)) : value('BOOKMARK', partialMetadata(object, output.version))
    },
    error: status => value('ERROR', status),
  }
}
