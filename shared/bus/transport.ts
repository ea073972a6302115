/**
 * One request to the API and its answer, independent of what carries it. The API server's handler chain takes and returns
 * these; the HTTPS server, the NATS service and the NATS client translate.
 */
import { StatusError, tooLarge } from '../machinery/status.ts'

export interface UserInfo {
  name: string
  uid?: string
  groups: string[]
  extra?: Record<string, string[]>
}

/** The largest body that is held whole, bytes: upstream's limit for requests. */
export const maxBodyBytes = 3 * 1024 * 1024
/** The largest head of a request (its URL and headers), bytes: that of Go's servers. */
export const maxHeadBytes = 1024 * 1024
export const headTooLarge = (): StatusError => new StatusError(431, 'RequestHeaderFieldsTooLarge', 'request header fields too large')
export const bodyTooLarge = (): StatusError => tooLarge(`Request entity too large: limit is ${maxBodyBytes}`)

/** The body of a request, on its way. Read once, one way or the other. */
export interface RequestBody {
  /** Bytes, when they were announced. */
  readonly length: number | undefined
  /** All of it. Rejects with 413 as soon as it is known to be longer than `maxBodyBytes`, and when the client goes away. */
  whole(): Promise<Uint8Array>
  /** Piece by piece; the client is held up until a piece is taken. Throws when the client goes away. */
  stream(): AsyncIterable<Uint8Array>
}

export interface ApiRequest {
  /** Upper case. */
  readonly method: string
  /** Percent-encoded path without the query: `/api/v1/namespaces/default/pods`. */
  readonly path: string
  readonly query: URLSearchParams
  /** The query as it was sent, with its `?`, or nothing: for who passes it on. */
  readonly search: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The client's address, where the transport knows it. */
  readonly remoteAddress?: string | undefined
  /** The whole body. Empty while it is on its way: the handler chain reads it once it knows who asks and has a place for the request. */
  body: Uint8Array
  /** The body on its way: over NATS there is none, a request is one message. */
  readonly incoming?: RequestBody | undefined
  /** Aborts when the client goes away or its deadline passes. */
  readonly signal: AbortSignal
}

export interface ApiResponse {
  code: number
  /** Names in lower case; `content-type` is always there when there is a body. */
  headers: Record<string, string>
  /** Whole, or in pieces as they come (watch, logs): the transport applies back-pressure by not asking for the next. */
  body: Uint8Array | AsyncIterable<Uint8Array>
}

/** Something that carries requests to the API: the NATS client's side. */
export interface Transport {
  /** Rejects only when no answer could be had (no server, deadline, connection lost); an error Status is an answer. */
  request(
    request: Pick<ApiRequest, 'method' | 'path' | 'query' | 'headers' | 'body'> & { signal?: AbortSignal; timeoutMs?: number },
  ): Promise<ApiResponse>
  close(): Promise<void>
}
