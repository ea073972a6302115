/**
 * One request to the API and its answer, independent of what carries it. The API server's handler chain takes and returns
 * these; the HTTPS server, the NATS service and the NATS client translate.
 */

export interface UserInfo {
  name: string
  uid?: string
  groups: string[]
  extra?: Record<string, string[]>
}

export interface ApiRequest {
  /** Upper case. */
  method: string
  /** Percent-encoded path without the query: `/api/v1/namespaces/default/pods`. */
  path: string
  query: URLSearchParams
  /** Names in lower case. */
  headers: Readonly<Record<string, string | undefined>>
  body: Uint8Array
  /** Aborts when the client goes away or its deadline passes. */
  signal: AbortSignal
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
  request(request: Omit<ApiRequest, 'signal'> & { signal?: AbortSignal; timeoutMs?: number }): Promise<ApiResponse>
  close(): Promise<void>
}
