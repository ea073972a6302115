/** The options of a request: read from the query, checked with upstream's words (k8s.io/apimachinery/pkg/apis/meta/v1/validation). */
import type { DeleteOptions } from '#shared/api/meta/options.ts'
import { Path, forbidden, invalid, notSupported, required, tooLong, type FieldError } from '#shared/machinery/field.ts'
import type { FieldValidation } from '#shared/machinery/requestbody.ts'
import { badRequest, invalidObject } from '#shared/machinery/status.ts'

export interface WriteParameters {
  readonly dryRun: boolean
  /** As the client gave it, may be empty. */
  readonly fieldManager: string
  readonly fieldValidation: FieldValidation
  /** Apply only. */
  readonly force: boolean
}

const at = (field: string): Path => new Path(field)
const root = new Path('')

function validateDryRun(values: readonly string[]): FieldError[] {
  return values.every(v => v === 'All') ? [] : [notSupported(at('dryRun'), values, ['All'])]
}
const validations = ['Ignore', 'Strict', 'Warn', '']

/** Options of create, update and patch. Throws 422 of `CreateOptions`, `UpdateOptions` or `PatchOptions`. */
export function writeParameters(
  query: URLSearchParams,
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
  apply = false,
): WriteParameters {
  if (query.size === 0 && !apply) return plainWrite
  const dryRun = query.getAll('dryRun').filter(v => v !== '')
  const fieldManager = query.get('fieldManager') ?? ''
  const fieldValidation = query.get('fieldValidation') ?? ''
  const force = boolParameter(query, 'force')
  const errors = validateDryRun(dryRun)
  if (fieldManager.length > 128) errors.push(tooLong(at('fieldManager'), 128))
  if (/[^\P{C}]/u.test(fieldManager)) errors.push(invalid(at('fieldManager'), fieldManager, 'should only contain printable characters'))
  if (!validations.includes(fieldValidation)) errors.push(notSupported(at('fieldValidation'), fieldValidation, validations))
  if (apply && fieldManager === '') errors.push(required(at('fieldManager'), 'is required for apply patch'))
  if (!apply && force !== undefined) errors.push(forbidden(at('force'), 'may not be specified for non-apply patch'))
  if (errors.length > 0) throw invalidObject('meta.k8s.io', kind, '', errors)
  return { dryRun: dryRun.length > 0, fieldManager, fieldValidation: (fieldValidation || 'Warn') as FieldValidation, force: force ?? false }
}
const plainWrite: WriteParameters = { dryRun: false, fieldManager: '', fieldValidation: 'Warn', force: false }

/** Go's strconv.ParseBool as the query conversion uses it: anything but false and 0 is true; absent is undefined. */
export function boolParameter(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name)
  if (value === null) return undefined
  const text = value.toLowerCase()
  return text !== 'false' && text !== '0'
}

export function intParameter(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name)
  if (value === null || value === '') return undefined
  if (!/^[+-]?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`)
  return Number(value)
}

/** DeleteOptions from the query, for deletions without a body. */
export function deleteOptionsOf(query: URLSearchParams): DeleteOptions {
  if (query.size === 0) return {}
  const grace = intParameter(query, 'gracePeriodSeconds')
  const orphan = boolParameter(query, 'orphanDependents')
  const policy = query.get('propagationPolicy')
  const dryRun = query.getAll('dryRun').filter(v => v !== '')
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(orphan === undefined ? {} : { orphanDependents: orphan }),
    ...(policy ? { propagationPolicy: policy } : {}),
    ...(dryRun.length > 0 ? { dryRun } : {}),
  }
}

const policies = ['Foreground', 'Background', 'Orphan']

/** Throws 422 for options that contradict each other. */
export function validateDeleteOptions(o: DeleteOptions): void {
  const errors = validateDryRun(o.dryRun ?? [])
  if (o.orphanDependents !== undefined && o.propagationPolicy !== undefined) {
    errors.push(invalid(at('propagationPolicy'), o.propagationPolicy, 'orphanDependents and deletionPropagation cannot be both set'))
  } else if (o.propagationPolicy !== undefined && !policies.includes(o.propagationPolicy)) {
    errors.push(notSupported(at('propagationPolicy'), o.propagationPolicy, [...policies, 'nil']))
  }
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'DeleteOptions', '', errors)
}

export interface ListParameters {
  readonly labelSelector: string
  readonly fieldSelector: string
  readonly resourceVersion: string
  readonly resourceVersionMatch: string
  readonly limit: number
  readonly continue: string
  readonly timeoutSeconds: number | undefined
  readonly allowWatchBookmarks: boolean
  readonly sendInitialEvents: boolean | undefined
}

/** Options of list, watch and deletecollection. Throws 400 and the 422 of `ListOptions`. */
export function listParameters(query: URLSearchParams, watch: boolean): ListParameters {
  if (query.size === 0) return plainList
  const p: ListParameters = {
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    resourceVersion: query.get('resourceVersion') ?? '',
    resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    limit: Math.max(0, intParameter(query, 'limit') ?? 0),
    continue: query.get('continue') ?? '',
    timeoutSeconds: intParameter(query, 'timeoutSeconds'),
    allowWatchBookmarks: boolParameter(query, 'allowWatchBookmarks') ?? false,
    sendInitialEvents: boolParameter(query, 'sendInitialEvents'),
  }
  const errors = watch ? watchErrors(p) : listErrors(p)
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'ListOptions', '', errors)
  return p
}
const plainList: ListParameters = {
  labelSelector: '',
  fieldSelector: '',
  resourceVersion: '',
  resourceVersionMatch: '',
  limit: 0,
  continue: '',
  timeoutSeconds: undefined,
  allowWatchBookmarks: false,
  sendInitialEvents: undefined,
}

function listErrors(p: ListParameters): FieldError[] {
  const errors: FieldError[] = []
  const match = p.resourceVersionMatch
  const path = root.child('resourceVersionMatch')
  if (match !== '') {
    if (p.resourceVersion === '') errors.push(forbidden(path, 'resourceVersionMatch is forbidden unless resourceVersion is provided'))
    if (p.continue !== '') errors.push(forbidden(path, 'resourceVersionMatch is forbidden when continue is provided'))
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      const error = notSupported(path, match, ['Exact', 'NotOlderThan'])
      // Upstream names the empty one last, though it sorts elsewhere.
      errors.push({ ...error, message: `${error.message}, ""` })
    }
    if (match === 'Exact' && p.resourceVersion === '0')
      errors.push(forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
  }
  if (p.sendInitialEvents !== undefined) errors.push(forbidden(at('sendInitialEvents'), 'sendInitialEvents is forbidden for list'))
  return errors
}

function watchErrors(p: ListParameters): FieldError[] {
  const errors: FieldError[] = []
  const match = p.resourceVersionMatch
  const path = root.child('resourceVersionMatch')
  if (p.sendInitialEvents !== undefined && match !== 'NotOlderThan')
    errors.push(forbidden(path, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
  if (match !== '') {
    if (p.sendInitialEvents === undefined)
      errors.push(forbidden(path, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
    if (match !== 'NotOlderThan') errors.push(notSupported(path, match, ['NotOlderThan']))
    if (p.continue !== '') errors.push(forbidden(path, 'resourceVersionMatch is forbidden when continue is provided'))
  }
  return errors
}

/** A version given by a client. Throws 400. */
export function parseVersion(text: string): number {
  if (text === '') return 0
  const shown = JSON.stringify(text)
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`invalid resource version: Invalid value: ${shown}: strconv.ParseUint: parsing ${shown}: invalid syntax`)
  return Number(text)
}
