/**
 * AdmissionReview: the question that a webhook is sent, and what its answer must be
 * (k8s.io/apiserver/pkg/admission/plugin/webhook/request).
 */
import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { decodeAny, DecodeError } from '#shared/machinery/decode.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import type { Attributes } from '../admission.ts'
import type { Match } from '../matching.ts'

const group = 'admission.k8s.io'
const known = ['v1', 'v1beta1']

export interface Question {
  readonly uid: string
  /** Of AdmissionReview. */
  readonly version: string
  readonly body: string
}

/** The objects of a request in the version that a webhook is asked in. */
export interface Objects {
  readonly object: KubeObject | undefined
  readonly old: KubeObject | undefined
}

/** Throws an Error when the webhook knows no version of AdmissionReview that we do. */
export function questionOf(a: Attributes, { kind, resource }: Match, { object, old }: Objects, versions: readonly string[]): Question {
  const version = versions.find(v => known.includes(v))
  if (version === undefined) throw new Error(`webhook does not accept known AdmissionReview versions (${known.join(', ')})`)
  const uid = randomUUID()
  const { name: username, uid: userUid, groups, extra } = a.user
  // Upstream calls the name of a namespace its namespace.
  const inNamespace =
    a.namespace === '' && a.requestResource.group === '' && a.requestResource.resource === 'namespaces' ? nameOf(a) : a.namespace
  const name = nameOf(a)
  const request = {
    uid,
    kind,
    resource,
    ...(a.subresource ? { subResource: a.subresource } : {}),
    requestKind: a.requestKind,
    requestResource: a.requestResource,
    ...(a.subresource ? { requestSubResource: a.subresource } : {}),
    ...(name ? { name } : {}),
    ...(inNamespace ? { namespace: inNamespace } : {}),
    operation: a.operation,
    userInfo: {
      ...(username ? { username } : {}),
      ...(userUid ? { uid: userUid } : {}),
      ...(groups.length > 0 ? { groups } : {}),
      ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
    },
    object: object ?? null,
    oldObject: old ?? null,
    dryRun: a.dryRun,
    options: a.options ?? null,
  }
  return { uid, version, body: JSON.stringify({ kind: 'AdmissionReview', apiVersion: `${group}/${version}`, request }) }
}

const nameOf = (a: Attributes): string => a.name || (a.object?.metadata?.name ?? '')

const nullable = <T extends z.ZodType>(type: T) => type.nullish().transform(value => value ?? undefined)
const text = nullable(z.string())
const cause = z.looseObject({ reason: text, message: text, field: text })
const details = z.looseObject({
  name: text,
  group: text,
  kind: text,
  uid: text,
  causes: nullable(z.array(cause)),
  retryAfterSeconds: nullable(z.number()),
})
const status = z.looseObject({ status: text, message: text, reason: text, code: nullable(z.int()), details: nullable(details) })
const response = z.looseObject({
  uid: text,
  allowed: nullable(z.boolean()),
  status: nullable(status),
  patch: text,
  patchType: text,
  auditAnnotations: nullable(z.record(z.string(), z.string())),
  warnings: nullable(z.array(z.string())),
})
const review = z.looseObject({ kind: text, apiVersion: text, response: nullable(response) })
type Response = z.output<typeof response>

export interface Verdict {
  readonly allowed: boolean
  readonly status: Response['status']
  /** A JSON patch; undefined when nothing is to change. */
  readonly patch: string | undefined
  readonly patchType: string
  readonly auditAnnotations: Readonly<Record<string, string>>
  readonly warnings: readonly string[]
}

/** An answer as JSON. Throws an Error in Go's words when it is none. */
export function readReview(answer: string): z.output<typeof review> {
  let value: unknown
  try {
    value = parseJson(answer)
  } catch {
    value = undefined
  }
  const read = review.safeParse(value)
  if (read.success) return read.data
  if (value === undefined) throw new Error(`couldn't get version/kind; json parse error: ${complaint(answer)}`)
  const [issue] = read.error.issues
  throw new Error(`json: cannot unmarshal AdmissionReview.${issue!.path.join('.')}: ${issue!.message}`)
}

function complaint(answer: string): string {
  if (answer.trim() === '') return 'unexpected end of JSON input'
  try {
    decodeAny(answer)
  } catch (e) {
    if (e instanceof DecodeError) return e.message
  }
  return `invalid character ${JSON.stringify(answer.trim()[0])} looking for beginning of value`
}

/** What an answer says. Throws an Error in upstream's words when it is no answer to the question. */
export function verdictOf(
  { response: r, kind = '', apiVersion = '' }: z.output<typeof review>,
  { uid, version }: Question,
  mutating: boolean,
): Verdict {
  if (!r) throw new Error('webhook response was absent')
  const { patch = '', patchType } = r
  if (version === 'v1') {
    if (r.uid !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(r.uid ?? '')}`)
    if (kind !== 'AdmissionReview' || apiVersion !== `${group}/v1`) {
      const got = `${apiVersion || '/'}, Kind=${kind}`
      throw new Error(`expected webhook response of ${group}/v1, Kind=AdmissionReview, got ${got}`)
    }
    if (mutating) {
      if (patch !== '' && patchType === undefined) throw new Error('webhook returned response.patch but not response.patchType')
      if (patch === '' && patchType !== undefined) throw new Error('webhook returned response.patchType but not response.patch')
      if (patchType === '') throw new Error('webhook returned invalid response.patchType of ""')
    } else {
      if (patch !== '') throw new Error('validating webhook may not return response.patch')
      if (patchType !== undefined) throw new Error('validating webhook may not return response.patchType')
    }
  }
  return {
    allowed: r.allowed === true,
    status: r.status,
    patch: mutating && patch !== '' ? patchText(patch) : undefined,
    patchType: version === 'v1' ? (patchType ?? '') : 'JSONPatch',
    auditAnnotations: r.auditAnnotations ?? {},
    warnings: r.warnings ?? [],
  }
}

function patchText(base64: string): string {
  if (!/^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$/.test(base64)) throw new Error('illegal base64 data in response.patch')
  return Buffer.from(base64, 'base64').toString()
}

/** The failure that a webhook's denial is. */
export function denial(webhook: string, { status: s }: Verdict): StatusError {
  const deniedBy = `admission webhook ${JSON.stringify(webhook)} denied the request`
  const why = s?.message || s?.reason
  const code = s?.code !== undefined && s.code >= 400 ? s.code : 400
  const e = new StatusError(code, s?.reason ?? '', why ? `${deniedBy}: ${why}` : `${deniedBy} without explanation`)
  if (s?.details) e.status.details = s.details as NonNullable<Status['details']>
  return e
}
