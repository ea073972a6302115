/** Answers: values, Status and text as ApiResponse. */
import { dump, DUMP_SCHEMA, type ScalarTagDefinition } from 'js-yaml'
import type { ApiResponse } from '#shared/bus/transport.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import type { Takes } from '#shared/streaming/upgrade.ts'
import { encodeValue, protobufType } from './protobuf.ts'

/**
 * An answer of the chain. Only HTTP/1.1 can turn a connection into something else; a request over another transport never asks for it, or
 * is refused there.
 */
export interface Answer extends ApiResponse, Takes {
  /** Set-Cookie headers: the only ones that cannot be joined to one. */
  cookies?: readonly string[]
}

/** How values are written for one request. */
export interface Writing {
  readonly format: 'json' | 'yaml' | 'protobuf'
  readonly pretty: boolean
}

/** Plain JSON in one line. */
export const compact: Writing = { format: 'json', pretty: false }

const jsonType = 'application/json'

const int = DUMP_SCHEMA.tags.find(tag => tag.tagName === 'tag:yaml.org,2002:int') as ScalarTagDefinition
const schema = DUMP_SCHEMA.withTags({ ...int, identify: value => typeof value === 'bigint' || int.identify!(value) })
/** As go-yaml writes it. */
const yamlForm = { noRefs: true, seqNoIndent: true, lineWidth: -1, sortKeys: true, schema } as const

/** Already encoded JSON, as one buffer or in parts. */
export function rawJson(code: number, body: Uint8Array | AsyncIterable<Uint8Array>): Answer {
  return { code, headers: { 'content-type': jsonType }, body }
}

/** Any value. */
export function valueAnswer(code: number, value: unknown, writing: Writing = compact): Answer {
  const protobuf = writing.format === 'protobuf' ? encodeValue(value) : undefined
  if (protobuf) return { code, headers: { 'content-type': protobufType }, body: protobuf }
  if (writing.format === 'yaml') return { code, headers: { 'content-type': 'application/yaml' }, body: Buffer.from(dump(value, yamlForm)) }
  return rawJson(code, Buffer.from(writing.pretty ? `${JSON.stringify(value, null, 2)}\n` : JSON.stringify(value)))
}

/** JSON that is already encoded, re-written only when the client wants another form. */
export function jsonAnswer(code: number, json: Buffer, writing: Writing): Answer {
  return writing.format === 'json' && !writing.pretty ? rawJson(code, json) : valueAnswer(code, parseJson(json.toString()), writing)
}

/** A Status with its HTTP code; some failures ask the client to come back. */
export function statusAnswer(status: Status, writing: Writing = compact): Answer {
  const answer = valueAnswer(status.code, status, writing)
  if (status.details?.retryAfterSeconds !== undefined) answer.headers['retry-after'] = String(status.details.retryAfterSeconds)
  return answer
}

/** How a failure is written for a client: as protobuf or YAML when that is what it reads first. */
export function failureWriting(accept: string | undefined): Writing {
  const first = accept?.trimStart() ?? ''
  if (first.startsWith(protobufType)) return { format: 'protobuf', pretty: false }
  return first.startsWith('application/yaml') ? { format: 'yaml', pretty: false } : compact
}

export function textAnswer(code: number, text: string): Answer {
  return { code, headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }, body: Buffer.from(text) }
}

/** What upstream's mux says to a path that nothing serves. */
export const pageNotFound = (): Answer => textAnswer(404, '404 page not found\n')

/** The two failures of upstream's router, for paths in served groups that name nothing, and methods that nothing takes. */
export const noSuchResource = (): StatusError => new StatusError(404, 'NotFound', 'the server could not find the requested resource', {})
export const noSuchMethod = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {})
