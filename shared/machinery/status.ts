/** The API's failures: metav1.Status as a thrown error, worded as k8s.io/apimachinery/pkg/api/errors words them. */
import type { FieldError } from './field.ts'

export interface StatusCause {
  reason?: string
  message?: string
  field?: string
}
export interface StatusDetails {
  name?: string
  group?: string
  kind?: string
  uid?: string
  causes?: StatusCause[]
  retryAfterSeconds?: number
}
export interface Status {
  kind: 'Status'
  apiVersion: 'v1'
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number }
  status: 'Success' | 'Failure'
  message?: string
  reason?: string
  details?: StatusDetails
  code: number
}
/** What a failure is about: the group and, for most errors, the plural resource. */
export interface GroupResource {
  group: string
  resource: string
}

/** Thrown by handlers and by the client alike; `status` is exactly what goes over the wire. */
export class StatusError extends Error {
  readonly status: Status
  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message)
    this.name = 'StatusError'
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      ...(reason ? { reason } : {}),
      ...(details ? { details } : {}),
      code,
    }
  }
  get code(): number {
    return this.status.code
  }
  get reason(): string {
    return this.status.reason ?? ''
  }
  /** Rebuilds the error from a Status body that a server sent. */
  static from(status: Partial<Status>, code: number): StatusError {
    const e = new StatusError(
      status.code ?? code,
      status.reason ?? 'Unknown',
      status.message ?? `the server responded with the status code ${code}`,
      status.details,
    )
    return e
  }
}

const qualified = (gr: GroupResource): string => (gr.group ? `${gr.resource}.${gr.group}` : gr.resource)
const about = (gr: GroupResource, name: string): StatusDetails => ({
  ...(name ? { name } : {}),
  ...(gr.group ? { group: gr.group } : {}),
  kind: gr.resource,
})

export const notFound = (gr: GroupResource, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${qualified(gr)} "${name}" not found`, about(gr, name))
export const alreadyExists = (gr: GroupResource, name: string): StatusError =>
  new StatusError(409, 'AlreadyExists', `${qualified(gr)} "${name}" already exists`, about(gr, name))
export const conflict = (gr: GroupResource, name: string, why: string): StatusError =>
  new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(gr)} "${name}": ${why}`, about(gr, name))
export const modified = (gr: GroupResource, name: string): StatusError =>
  conflict(gr, name, 'the object has been modified; please apply your changes to the latest version and try again')
export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message)
export const unauthorized = (): StatusError => new StatusError(401, 'Unauthorized', 'Unauthorized')
export const forbidden = (gr: GroupResource, name: string, why: string): StatusError =>
  new StatusError(403, 'Forbidden', `${qualified(gr)}${name ? ` "${name}"` : ''} is forbidden: ${why}`, about(gr, name))
export const expired = (message: string): StatusError => new StatusError(410, 'Expired', message)
export const timeout = (message: string): StatusError => new StatusError(504, 'Timeout', `Timeout: ${message}`)
export const tooLarge = (message: string): StatusError => new StatusError(413, 'RequestEntityTooLarge', message)
export const unavailable = (message: string): StatusError => new StatusError(503, 'ServiceUnavailable', message)
export const internalError = (message: string): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] })
export const methodNotSupported = (gr: GroupResource, action: string): StatusError =>
  new StatusError(405, 'MethodNotAllowed', `${action} is not supported on resources of kind "${qualified(gr)}"`, {
    ...(gr.group ? { group: gr.group } : {}),
    kind: gr.resource,
  })

/** Characters of all the errors of one object that a failure shows. */
const maxShown = 256 * 1024

/**
 * 422 with one cause for each broken rule, as many as fit into `maxShown`; the message names equal ones once. `kind` is the Kind, not the
 * resource.
 */
export function invalidObject(group: string, kind: string, name: string, errors: readonly FieldError[]): StatusError {
  let size = 0
  const end = errors.findIndex(e => (size += e.field.length + e.message.length) > maxShown)
  const shown = end < 0 ? errors : errors.slice(0, end)
  const lines = [...new Set(shown.map(e => `${e.field}: ${e.message}`))]
  if (end >= 0) lines.push(`and ${errors.length - end} more`)
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`
  return new StatusError(422, 'Invalid', `${group ? `${kind}.${group}` : kind} "${name}" is invalid: ${list}`, {
    name,
    ...(group ? { group } : {}),
    kind,
    causes: shown.map(e => ({ reason: e.reason, message: e.message, field: e.field })),
  })
}

export const isStatus = (e: unknown, reason: string): boolean => e instanceof StatusError && e.reason === reason
export const isNotFound = (e: unknown): boolean => isStatus(e, 'NotFound')
/** For `catch`: what is gone is undefined, every other failure stays one. */
export function ignoreNotFound(e: unknown): undefined {
  if (!isNotFound(e)) throw e
}
export const isAlreadyExists = (e: unknown): boolean => isStatus(e, 'AlreadyExists')
export const isConflict = (e: unknown): boolean => isStatus(e, 'Conflict')
export const isExpired = (e: unknown): boolean => isStatus(e, 'Expired') || isStatus(e, 'Gone')
/** Whether a create was refused because its namespace is going away: nothing more can be made there. */
export const isNamespaceTerminating = (e: unknown): boolean =>
  e instanceof StatusError && (e.status.details?.causes ?? []).some(c => c.reason === 'NamespaceTerminating')
