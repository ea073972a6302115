/** Rules of metadata that hold for all kinds: k8s.io/apimachinery/pkg/api/validation/objectmeta.go and the finalizer rule of core. */
import type { ObjectMeta, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { forbidden, invalid, required, tooLong, type FieldError, type Path } from '#shared/machinery/field.ts'
import { isDNS1123Label, isLabelValue, isQualifiedName, nameIsDNSSubdomain } from '#shared/machinery/names.ts'
import { equal } from './equal.ts'

const maxAnnotationBytes = 256 * 1024
const standardFinalizers = new Set(['kubernetes', 'orphan', 'foregroundDeletion'])

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const key in labels) {
    for (const text of isQualifiedName(key)) errors.push(invalid(at, key, text))
    for (const text of isLabelValue(labels[key]!)) errors.push(invalid(at, labels[key], text))
  }
  return errors
}

export function validateAnnotations(annotations: Readonly<Record<string, string>> | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const key in annotations) {
    for (const text of isQualifiedName(key.toLowerCase())) errors.push(invalid(at, key, text))
    size += Buffer.byteLength(key) + Buffer.byteLength(annotations[key]!)
  }
  if (size > maxAnnotationBytes) errors.push(tooLong(at, maxAnnotationBytes))
  return errors
}

function validateOwnerReferences(references: readonly OwnerReference[], at: Path): FieldError[] {
  const errors: FieldError[] = []
  let controller: string | undefined
  for (const r of references) {
    const parts = (r.apiVersion ?? '').split('/')
    if (parts.length > 2) errors.push(invalid(at.child('apiVersion'), r.apiVersion, `unexpected GroupVersion string: ${r.apiVersion}`))
    else if (parts.at(-1) === '') errors.push(invalid(at.child('apiVersion'), r.apiVersion ?? '', 'version must not be empty'))
    if (!r.kind) errors.push(invalid(at.child('kind'), r.kind ?? '', 'kind must not be empty'))
    if (!r.name) errors.push(invalid(at.child('name'), r.name ?? '', 'name must not be empty'))
    if (!r.uid) errors.push(invalid(at.child('uid'), r.uid ?? '', 'uid must not be empty'))
    if (r.apiVersion === 'v1' && r.kind === 'Event') errors.push(invalid(at, r, '/v1, Kind=Event is disallowed from being an owner'))
    if (r.controller) {
      if (controller !== undefined) errors.push(invalid(at, references, `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${r.name}`))
      else controller = r.name
    }
  }
  return errors
}

function validateFinalizers(finalizers: readonly string[], at: Path): FieldError[] {
  const errors: FieldError[] = []
  finalizers.forEach((f, i) => {
    for (const text of isQualifiedName(f)) errors.push(invalid(at, f, text))
    if (!f.includes('/') && !standardFinalizers.has(f)) errors.push(invalid(at.index(i), f, 'name is neither a standard finalizer name nor is it fully qualified'))
  })
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) errors.push(invalid(at, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'))
  return errors
}

function validateManagedFields(meta: ObjectMeta, at: Path): FieldError[] {
  const errors: FieldError[] = []
  meta.managedFields?.forEach((entry, i) => {
    const here = at.index(i)
    if (entry.operation !== 'Apply' && entry.operation !== 'Update') errors.push(invalid(here.child('operation'), entry.operation ?? '', 'must be `Apply` or `Update`'))
    if (entry.fieldsType !== undefined && entry.fieldsType !== 'FieldsV1') errors.push(invalid(here.child('fieldsType'), entry.fieldsType, 'must be `FieldsV1`'))
  })
  return errors
}

/** What holds for metadata whenever an object is written. */
export function validateMeta(resource: Resource, meta: ObjectMeta, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const checkName = resource.validateName ?? nameIsDNSSubdomain
  if (meta.generateName) for (const text of checkName(meta.generateName, true)) errors.push(invalid(at.child('generateName'), meta.generateName, text))
  if (!meta.name) errors.push(required(at.child('name'), 'name or generateName is required'))
  else for (const text of checkName(meta.name, false)) errors.push(invalid(at.child('name'), meta.name, text))
  if (resource.namespaced) {
    if (!meta.namespace) errors.push(required(at.child('namespace')))
    else for (const text of isDNS1123Label(meta.namespace)) errors.push(invalid(at.child('namespace'), meta.namespace, text))
  } else if (meta.namespace) errors.push(forbidden(at.child('namespace'), 'not allowed on this type'))
  if ((meta.generation ?? 0) < 0) errors.push(invalid(at.child('generation'), meta.generation, 'must be greater than or equal to 0'))
  return errors.concat(validateChangeable(meta, at))
}

function validateChangeable(meta: ObjectMeta, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (meta.labels) errors.push(...validateLabels(meta.labels, at.child('labels')))
  if (meta.annotations) errors.push(...validateAnnotations(meta.annotations, at.child('annotations')))
  if (meta.ownerReferences) errors.push(...validateOwnerReferences(meta.ownerReferences, at.child('ownerReferences')))
  if (meta.finalizers) errors.push(...validateFinalizers(meta.finalizers, at.child('finalizers')))
  if (meta.managedFields) errors.push(...validateManagedFields(meta, at.child('managedFields')))
  return errors
}

const immutable = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const

/** Takes over from the stored object what a client may leave out, and what it can never change. Changes `meta`. */
export function keepMeta(meta: ObjectMeta, old: ObjectMeta): void {
  meta.uid ||= old.uid
  meta.creationTimestamp ??= old.creationTimestamp
  // Once deletion has begun there is no way back.
  if (old.deletionTimestamp !== undefined) meta.deletionTimestamp = old.deletionTimestamp
  meta.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds
  if (old.generation === undefined) delete meta.generation
  else meta.generation = old.generation
}

/** What must hold for a change of metadata, in addition to `validateMeta`. */
export function validateMetaUpdate(meta: ObjectMeta, old: ObjectMeta, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter(f => !old.finalizers?.includes(f))
    if (added.length > 0) {
      const list = added.map(f => JSON.stringify(f)).join(', ')
      errors.push(forbidden(at.child('finalizers'), `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`))
    }
  }
  for (const field of immutable) if (!equal(meta[field], old[field])) errors.push(invalid(at.child(field), meta[field], 'field is immutable'))
  return errors
}
