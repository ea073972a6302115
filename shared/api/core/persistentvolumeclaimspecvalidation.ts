/** Rules of what a claim asks for, and of a claim's template in a pod. */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain } from '../../machinery/names.ts'
import { compareQuantity } from '../../machinery/quantity.ts'
import { validateLabelSelector } from '../meta/labelselector.ts'
import type { ObjectMeta } from '../meta/objectmeta.ts'
import { validateAnnotations, validateLabels } from '../meta/validation.ts'
import type { PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate } from './persistentvolumeclaimspec.ts'
import { fractional } from './podspec/fractional.ts'
import type { TypedObjectReference } from './typedobjectreference.ts'

/** Of a template's metadata only labels and annotations reach the claim. */
export function validatePersistentVolumeClaimTemplate(template: PersistentVolumeClaimTemplate, path: Path): FieldError[] {
  const meta: ObjectMeta = template.metadata ?? {}
  const at = path.child('metadata')
  const errors = [...validateAnnotations(meta.annotations, at.child('annotations')), ...validateLabels(meta.labels, at.child('labels'))]
  for (const [name, value] of Object.entries(meta))
    if (name !== 'labels' && name !== 'annotations' && value !== undefined) errors.push(forbidden(at.child(name), 'cannot be set'))
  return [...errors, ...validatePersistentVolumeClaimSpec(template.spec ?? {}, path.child('spec'))]
}

const accessModes = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod']
const volumeModes = ['Block', 'Filesystem']

export function validatePersistentVolumeClaimSpec(spec: PersistentVolumeClaimSpec, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const modes = spec.accessModes ?? []
  const modesAt = path.child('accessModes')
  if (modes.length === 0) errors.push(required(modesAt, 'at least 1 access mode is required'))
  errors.push(...validateLabelSelector(spec.selector, {}, path.child('selector')))
  for (const mode of modes) if (!accessModes.includes(mode)) errors.push(notSupported(modesAt, mode, accessModes))
  if (modes.includes('ReadWriteOncePod') && modes.some(m => m !== 'ReadWriteOncePod' && accessModes.includes(m)))
    errors.push(forbidden(modesAt, 'may not use ReadWriteOncePod with other access modes'))
  const storage = spec.resources?.requests?.['storage']
  const storageAt = path.child('resources').key('storage')
  if (storage === undefined) errors.push(required(storageAt))
  else if (compareQuantity(storage, '0') <= 0) errors.push(invalid(storageAt, storage, 'must be greater than zero'))
  for (const name of ['storageClassName', 'volumeAttributesClassName'] as const)
    if (spec[name]) errors.push(...isDNS1123Subdomain(spec[name]).map(m => invalid(path.child(name), spec[name], m)))
  if (spec.volumeMode !== undefined && !volumeModes.includes(spec.volumeMode))
    errors.push(notSupported(path.child('volumeMode'), spec.volumeMode, volumeModes))
  return [...errors, ...validateSources(spec, path)]
}

function validateSources(spec: PersistentVolumeClaimSpec, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const { dataSource, dataSourceRef } = spec
  if (dataSource) errors.push(...validateSource(dataSource, path.child('dataSource')))
  if (dataSourceRef) {
    errors.push(...validateSource(dataSourceRef, path.child('dataSourceRef')))
    if (dataSourceRef.namespace)
      errors.push(
        ...isDNS1123Label(dataSourceRef.namespace).map(m => invalid(path.child('dataSourceRef', 'namespace'), dataSourceRef.namespace, m)),
      )
  }
  if (!dataSource || !dataSourceRef) return errors
  const shown = String(path.child('dataSource'))
  if (dataSourceRef.namespace) errors.push(invalid(path, shown, 'may not be specified when dataSourceRef.namespace is specified'))
  else if (
    dataSource.apiGroup !== dataSourceRef.apiGroup ||
    dataSource.kind !== dataSourceRef.kind ||
    dataSource.name !== dataSourceRef.name
  )
    errors.push(invalid(path, shown, 'must match dataSourceRef'))
  return errors
}

function validateSource(source: Omit<TypedObjectReference, 'namespace'>, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!source.name) errors.push(required(at.child('name')))
  if (!source.kind) errors.push(required(at.child('kind')))
  if (source.apiGroup) errors.push(...isDNS1123Subdomain(source.apiGroup).map(m => invalid(at.child('apiGroup'), source.apiGroup, m)))
  else if (source.kind !== 'PersistentVolumeClaim')
    errors.push(invalid(at, source.kind ?? '', "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
  return errors
}

export const warningsForPersistentVolumeClaimSpec = ({ resources }: PersistentVolumeClaimSpec, at: Path): string[] =>
  (['requests', 'limits'] as const).flatMap(list => fractional(resources?.[list], at.child('resources', list), 'storage'))
