/**
 * Rules for what all objects share: metadata, labels, conditions (k8s.io/apimachinery pkg/api/validation and pkg/apis/meta/v1/validation).
 */
import { duplicate, forbidden, invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain, isLabelValue, isQualifiedName, regexError } from '../../machinery/names.ts'
import type { Condition } from './condition.ts'
import type { ManagedFieldsEntry, ObjectMeta, OwnerReference } from './objectmeta.ts'

export const immutableText = 'field is immutable'
export const maxAnnotationBytes = 256 * 1024

/**
 * Whether two values are the same to Kubernetes: absent, null, empty lists and empty maps are one; times compare as instants would after
 * normalising.
 */
export function semanticEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b)
  if (typeof a !== 'object' || typeof b !== 'object') return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((v, i) => semanticEqual(v, b[i]))
  }
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return Object.keys({ ...x, ...y }).every(k => semanticEqual(x[k], y[k]))
}
const isNothing = (v: unknown): boolean => v === undefined || v === null || (typeof v === 'object' && Object.keys(v as object).length === 0)

/** The field must be as it was. */
export const validateImmutable = (value: unknown, old: unknown, at: Path): FieldError[] =>
  semanticEqual(value, old) ? [] : [invalid(at, value, immutableText)]
export const validateNonNegative = (value: number | undefined, at: Path): FieldError[] =>
  (value ?? 0) < 0 ? [invalid(at, value, 'must be greater than or equal to 0')] : []

/** `example.com/name`: a name in the space of a domain. */
export function validateDomainPrefixedPath(value: string, at: Path): FieldError[] {
  if (value === '') return [required(at)]
  const slash = value.indexOf('/')
  const [host, path] = [value.slice(0, slash), value.slice(slash + 1)]
  if (slash < 1 || path === '') return [invalid(at, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
  const errors = isDNS1123Subdomain(host).map(e => invalid(at, host, e))
  const pattern = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"
  if (!new RegExp(`^${pattern}$`).test(path)) errors.push(invalid(at, path, regexError('Invalid path', pattern)))
  return errors
}

/** A counter that clients rely on only to grow. */
export const validateNotDecremented = (value: number | undefined, old: number | undefined, at: Path): FieldError[] =>
  old !== undefined && (value ?? 0) < old ? [invalid(at, value ?? 0, 'cannot be decremented')] : []

/** A label key. */
export const validateLabelName = (name: string, at: Path): FieldError[] => isQualifiedName(name).map(e => invalid(at, name, e))
export function validateLabels(labels: { readonly [key: string]: string } | undefined, at: Path): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([k, v]) => [...validateLabelName(k, at), ...isLabelValue(v).map(e => invalid(at, v, e))])
}
/** Bytes of keys and values. */
export const sizeOfAnnotations = (annotations: { readonly [key: string]: string }): number =>
  Object.entries(annotations).reduce((n, [k, v]) => n + Buffer.byteLength(k) + Buffer.byteLength(v), 0)
export function validateAnnotations(annotations: { readonly [key: string]: string } | undefined, at: Path): FieldError[] {
  const entries = Object.entries(annotations ?? {})
  const errors = entries.flatMap(([k]) => isQualifiedName(k.toLowerCase()).map(e => invalid(at, k, e)))
  if (sizeOfAnnotations(annotations ?? {}) > maxAnnotationBytes) errors.push(tooLong(at, maxAnnotationBytes))
  return errors
}

function validateOwnerReferences(references: readonly OwnerReference[] | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  let controller = ''
  for (const ref of references ?? []) {
    if (!ref.apiVersion || ref.apiVersion.endsWith('/') || ref.apiVersion.split('/').length > 2)
      errors.push(invalid(at.child('apiVersion'), ref.apiVersion, 'version must not be empty'))
    for (const name of ['kind', 'name', 'uid'] as const)
      if (!ref[name]) errors.push(invalid(at.child(name), ref[name] ?? '', 'must not be empty'))
    if (ref.apiVersion === 'v1' && ref.kind === 'Event') errors.push(invalid(at, ref, '/v1, Kind=Event is disallowed from being an owner'))
    if (!ref.controller) continue
    const name = `${ref.kind}/${ref.name}`
    if (controller)
      errors.push(
        invalid(
          at,
          references,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
        ),
      )
    else controller = name
  }
  return errors
}

export const validateFinalizerName = (name: string, at: Path): FieldError[] => isQualifiedName(name).map(e => invalid(at, name, e))
const standardFinalizers = ['kubernetes', 'orphan', 'foregroundDeletion']
/** Built-in kinds take no finalizers without a domain but the standard ones. */
export const validateKubeFinalizerName = (name: string, at: Path): FieldError[] =>
  name.includes('/') || standardFinalizers.includes(name)
    ? []
    : [invalid(at, name, 'name is neither a standard finalizer name nor is it fully qualified')]
function validateFinalizers(finalizers: readonly string[] | undefined, at: Path): FieldError[] {
  const errors = (finalizers ?? []).flatMap(f => validateFinalizerName(f, at))
  if (finalizers?.includes('orphan') && finalizers.includes('foregroundDeletion'))
    errors.push(invalid(at, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'))
  return errors
}
const validateKubeFinalizers = (finalizers: readonly string[] | undefined, at: Path): FieldError[] =>
  (finalizers ?? []).flatMap((f, i) => validateKubeFinalizerName(f, at.index(i)))

/** The name of a field manager. */
export function validateFieldManager(manager: string | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (Buffer.byteLength(manager ?? '') > 128) errors.push(tooLong(at, 128))
  let position = 0
  for (const c of manager ?? '') {
    if (c !== ' ' && /[\p{C}\p{Z}]/u.test(c)) {
      const hex = c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
      errors.push(invalid(at, manager, `invalid character U+${hex} (at position ${position})`))
    }
    position += Buffer.byteLength(c)
  }
  return errors
}
export function validateManagedFields(entries: readonly ManagedFieldsEntry[] | undefined, at: Path): FieldError[] {
  return (entries ?? []).flatMap((entry, i) => {
    const here = at.index(i)
    const errors: FieldError[] = []
    if (entry.operation !== 'Apply' && entry.operation !== 'Update')
      errors.push(invalid(here.child('operation'), entry.operation ?? '', 'must be `Apply` or `Update`'))
    if (entry.fieldsType && entry.fieldsType !== 'FieldsV1')
      errors.push(invalid(here.child('fieldsType'), entry.fieldsType, 'must be `FieldsV1`'))
    errors.push(...validateFieldManager(entry.manager, here.child('manager')))
    if (Buffer.byteLength(entry.subresource ?? '') > 256) errors.push(tooLong(here.child('subresource'), 256))
    return errors
  })
}

/**
 * All broken rules of the metadata of a new or changed object. `validateName` is the resource's (`names.ts` has the usual ones); the second
 * argument it gets says that the value is a generateName. Kinds that are not built in take finalizers without a domain.
 */
export function validateObjectMeta(
  meta: ObjectMeta,
  namespaced: boolean,
  validateName: (name: string, prefix: boolean) => string[],
  at: Path,
  builtIn = true,
): FieldError[] {
  const errors: FieldError[] = []
  if (meta.generateName)
    errors.push(...validateName(meta.generateName, true).map(e => invalid(at.child('generateName'), meta.generateName, e)))
  if (!meta.name) errors.push(required(at.child('name'), 'name or generateName is required'))
  else errors.push(...validateName(meta.name, false).map(e => invalid(at.child('name'), meta.name, e)))
  if (!namespaced) {
    if (meta.namespace) errors.push(forbidden(at.child('namespace'), 'not allowed on this type'))
  } else if (!meta.namespace) errors.push(required(at.child('namespace')))
  else errors.push(...isDNS1123Label(meta.namespace).map(e => invalid(at.child('namespace'), meta.namespace, e)))
  return [
    ...errors,
    ...validateNonNegative(meta.generation, at.child('generation')),
    ...validateLabels(meta.labels, at.child('labels')),
    ...validateAnnotations(meta.annotations, at.child('annotations')),
    ...validateOwnerReferences(meta.ownerReferences, at.child('ownerReferences')),
    ...validateFinalizers(meta.finalizers, at.child('finalizers')),
    ...(builtIn ? validateKubeFinalizers(meta.finalizers, at.child('finalizers')) : []),
    ...validateManagedFields(meta.managedFields, at.child('managedFields')),
  ]
}

/** All broken rules of a change of metadata. `meta.resourceVersion` must be set by then: that of the object that the change is for. */
export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta, at: Path, builtIn = true): FieldError[] {
  const errors: FieldError[] = []
  if (old.deletionTimestamp) {
    const added = [...new Set(meta.finalizers)].filter(f => !old.finalizers?.includes(f)).sort()
    if (added.length) {
      const shown = `[]string{${added.map(f => JSON.stringify(f)).join(', ')}}`
      errors.push(
        forbidden(at.child('finalizers'), `no new finalizers can be added if the object is being deleted, found new finalizers ${shown}`),
      )
    }
  }
  if (!meta.resourceVersion) errors.push(invalid(at.child('resourceVersion'), '', 'must be specified for an update'))
  if ((meta.generation ?? 0) < (old.generation ?? 0))
    errors.push(invalid(at.child('generation'), meta.generation ?? 0, 'must not be decremented'))
  for (const name of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const) {
    errors.push(...validateImmutable(meta[name], old[name], at.child(name)))
  }
  return [
    ...errors,
    ...validateLabels(meta.labels, at.child('labels')),
    ...validateAnnotations(meta.annotations, at.child('annotations')),
    ...validateOwnerReferences(meta.ownerReferences, at.child('ownerReferences')),
    ...validateManagedFields(meta.managedFields, at.child('managedFields')),
    ...(builtIn ? validateKubeFinalizers(meta.finalizers, at.child('finalizers')) : []),
  ]
}

const reasonPattern = '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?'
const reasonText =
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'"

/** A list of metav1.Condition. */
export function validateConditions(conditions: readonly Condition[] | undefined, at: Path): FieldError[] {
  const seen = new Set<string>()
  return (conditions ?? []).flatMap((c, i) => {
    const here = at.index(i)
    const errors: FieldError[] = seen.has(c.type) ? [duplicate(here.child('type'), c.type)] : []
    seen.add(c.type)
    errors.push(...validateLabelName(c.type, here.child('type')))
    if (!['True', 'False', 'Unknown'].includes(c.status))
      errors.push(notSupported(here.child('status'), c.status, ['False', 'True', 'Unknown']))
    if ((c.observedGeneration ?? 0) < 0)
      errors.push(invalid(here.child('observedGeneration'), c.observedGeneration, 'must be greater than or equal to zero'))
    if (!c.lastTransitionTime) errors.push(required(here.child('lastTransitionTime')))
    if (!c.reason) errors.push(required(here.child('reason')))
    else {
      if (!new RegExp(`^${reasonPattern}$`).test(c.reason)) {
        errors.push(
          invalid(
            here.child('reason'),
            c.reason,
            regexError(reasonText, reasonPattern, 'my_name', 'MY_NAME', 'MyName', 'ReasonA,ReasonB', 'ReasonA:ReasonB'),
          ),
        )
      }
      if (Buffer.byteLength(c.reason) > 1024) errors.push(tooLong(here.child('reason'), 1024))
    }
    if (Buffer.byteLength(c.message ?? '') > 32768) errors.push(tooLong(here.child('message'), 32768))
    return errors
  })
}
