/**
 * How the API travels over NATS. A request is one message on `api.<identity>`: the length (four bytes) and JSON of a RequestHead, and the
 * body. The answer is one or more frames below the client's inbox, numbered so that a lost one is noticed: one byte of flags, four bytes of
 * number, and the payload. Small JSON messages go to `api.<identity>.<server>` while a request lasts: see Control.
 */

export const Flag = {
  /** The payload begins with the length (four bytes) and JSON of a Head. */
  head: 1,
  /** The last frame. */
  end: 2,
  /** The answer broke off; the payload says why. With `end`. */
  broken: 4,
  /** No answer yet; the payload is the id of the server that works on it. */
  accepted: 8,
} as const

export interface Head {
  code: number
  headers: Record<string, string>
  /** The id of the answering API server: the last token of where Control messages go. */
  via: string
}

export interface RequestHead {
  method: string
  /** With the query. */
  path: string
  /** How long the client waits for an answer, ms. */
  timeoutMs: number
  headers: Readonly<Record<string, string | undefined>>
}

/** A client to the server that serves some of its requests, or to `all` when it does not know which. */
export interface Control {
  /** The token after the identity in the inboxes of this client. */
  client: string
  /** The last token of the inbox of the request meant by `cancel` or `ack`. */
  request?: string
  cancel?: boolean
  /** How much of the answer has been consumed, in total, by `cost`. */
  ack?: number
}
/** What a Control message without a request (a heartbeat) is answered with. */
export interface Alive {
  /** For each request of the client that lasts: how many frames were sent. */
  requests: Record<string, number>
  /** When the next heartbeat is wanted, ms: longer when there are many clients. */
  nextMs: number
}

/** The token of Control messages to every API server. */
export const everyServer = 'all'
/** What may be under way of one answer, by `cost`; the server waits for the client then. */
export const windowCost = 4 << 20
/** Larger pieces of an answer are split. */
export const maxPiece = 1 << 20

/** What a frame counts against the window. */
export const cost = (bytes: number): number => bytes + 64

export interface Frame {
  flags: number
  number: number
  payload: Buffer
}

/** A frame up to its payload. */
export function encodeFrame(flags: number, number: number, head?: Head): Buffer {
  const frame = head ? lengthAndJson(head, 5) : Buffer.allocUnsafe(5)
  frame.writeUInt8(flags, 0)
  frame.writeUInt32BE(number, 1)
  return frame
}

/** A request up to its body. */
export const encodeRequest = (head: RequestHead): Buffer => lengthAndJson(head, 0)

/** The length (four bytes) and JSON of a head, from an offset on. */
function lengthAndJson(head: Head | RequestHead, at: number): Buffer {
  const json = JSON.stringify(head)
  const length = Buffer.byteLength(json)
  const bytes = Buffer.allocUnsafe(at + 4 + length)
  bytes.writeUInt32BE(length, at)
  bytes.write(json, at + 4)
  return bytes
}

/** Undefined when it is no frame. */
export function decodeFrame(data: Uint8Array): Frame | undefined {
  if (data.length < 5) return undefined
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return { flags: bytes.readUInt8(0), number: bytes.readUInt32BE(1), payload: bytes.subarray(5) }
}

/** Splits the payload of a frame with `Flag.head`. Undefined when it is malformed. */
export function decodeHead(payload: Buffer): { head: Head; rest: Buffer } | undefined {
  if (payload.length < 4) return undefined
  const end = 4 + payload.readUInt32BE(0)
  if (end > payload.length) return undefined
  try {
    return { head: JSON.parse(payload.subarray(4, end).toString()) as Head, rest: payload.subarray(end) }
  } catch {
    return undefined
  }
}
