/** Rules for changes of core/v1 PersistentVolumeClaim and for its status (pkg/apis/core/validation). */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isQualifiedName } from '../../machinery/names.ts'
import { compareQuantity } from '../../machinery/quantity.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import { storageClassAnnotation } from './accessmodes.ts'
import type { PersistentVolumeClaim } from './persistentvolumeclaim.ts'
import type { PersistentVolumeClaimSpec } from './persistentvolumeclaimspec.ts'
import { isNativeResource } from './resourcenames.ts'

const frozenText = 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'

export function validatePersistentVolumeClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const [annotation, oldAnnotation] = [claim, old].map(c => c.metadata.annotations?.[storageClassAnnotation])
  const { storageClassName } = claim.spec
  // A class that an annotation named, or none, may become the field, once.
  const named = old.spec.storageClassName === undefined && storageClassName !== undefined
  const fromAnnotation =
    named && oldAnnotation !== undefined && storageClassName === oldAnnotation && (annotation ?? oldAnnotation) === oldAnnotation
  if (!fromAnnotation) {
    const path = at.child('metadata', 'annotations', storageClassAnnotation)
    errors.push(...validateImmutable(annotation, oldAnnotation, path))
  }
  const mayName = fromAnnotation || (named && (oldAnnotation === undefined || oldAnnotation === storageClassName))
  const bound = claim.status?.phase === 'Bound'
  const frozen = (spec: PersistentVolumeClaimSpec): object => ({
    ...spec,
    volumeName: old.spec.volumeName ? spec.volumeName : undefined,
    storageClassName: mayName ? undefined : spec.storageClassName,
    ...(bound
      ? {
          volumeAttributesClassName: undefined,
          resources: { ...spec.resources, requests: { ...spec.resources?.requests, storage: undefined } },
        }
      : {}),
  })
  if (!semanticEqual(frozen(claim.spec), frozen(old.spec))) errors.push(forbidden(at.child('spec'), frozenText))
  const [size = '0', oldSize = '0'] = [claim, old].map(c => c.spec.resources?.requests?.['storage'])
  if (compareQuantity(size, oldSize) < 0 && compareQuantity(size, old.status?.capacity?.['storage'] ?? '0') <= 0)
    errors.push(forbidden(at.child('spec', 'resources', 'requests', 'storage'), 'field can not be less than status.capacity'))
  errors.push(...validateImmutable(claim.spec.volumeMode, old.spec.volumeMode, at.child('volumeMode')))
  const { volumeAttributesClassName: attributesClass } = claim.spec
  // One that was never reached may be given up.
  if (
    old.status?.currentVolumeAttributesClassName !== undefined &&
    !attributesClass &&
    attributesClass !== old.spec.volumeAttributesClassName
  ) {
    const what = attributesClass === undefined ? 'nil' : 'empty string'
    const why = `update to ${what} is forbidden when status.currentVolumeAttributesClassName is not nil`
    errors.push(forbidden(at.child('spec', 'volumeAttributesClassName'), why))
  }
  return errors
}

const resizeStates = [
  'ControllerResizeInProgress',
  'ControllerResizeInfeasible',
  'NodeResizeInProgress',
  'NodeResizeInfeasible',
  'NodeResizePending',
]

export function validatePersistentVolumeClaimStatus({ spec, status = {} }: PersistentVolumeClaim, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!spec.accessModes?.length) errors.push(required(at.child('Spec', 'accessModes')))
  const path = at.child('status')
  for (const [name, amount] of Object.entries(status.capacity ?? {})) errors.push(...notNegative(amount, path.child('capacity').key(name)))
  const statesAt = path.child('allocatedResourceStatus')
  for (const [name, state] of Object.entries(status.allocatedResourceStatuses ?? {})) {
    errors.push(...resourceName(name, statesAt))
    if (!resizeStates.includes(state)) errors.push(notSupported(statesAt, name, [...resizeStates].sort()))
  }
  const amountsAt = path.child('allocatedResources')
  for (const [name, amount] of Object.entries(status.allocatedResources ?? {})) {
    const bad = resourceName(name, amountsAt)
    errors.push(...(bad.length ? bad : notNegative(amount, amountsAt.key(name))))
  }
  return errors
}

const notNegative = (amount: string, at: Path): FieldError[] =>
  compareQuantity(amount, '0') < 0 ? [invalid(at, amount, 'must be a valid resource quantity')] : []

function resourceName(name: string, at: Path): FieldError[] {
  const errors = isQualifiedName(name).map(m => invalid(at, name, m))
  return errors.length || !isNativeResource(name) || name === 'storage' ? errors : [notSupported(at, name, ['storage'])]
}
