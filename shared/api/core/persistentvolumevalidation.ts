/** Rules of core/v1 PersistentVolume (pkg/apis/core/validation ValidatePersistentVolume). */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Subdomain } from '../../machinery/names.ts'
import { compareQuantity } from '../../machinery/quantity.ts'
import { immutableText, semanticEqual, validateImmutable } from '../meta/validation.ts'
import { mountOptionsAnnotation } from './accessmodes.ts'
import type { PersistentVolume, PersistentVolumeSpec } from './persistentvolume.ts'
import { validatePersistentVolumeSource, volumeSourceNames } from './persistentvolumesourcevalidation.ts'
import { validateNodeSelector } from './podspec/affinityvalidation.ts'

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']
const reclaimPolicies = ['Delete', 'Recycle', 'Retain']
const volumeModes = ['Block', 'Filesystem']
const inlineText = 'in the context of inline volumes'

export function validatePersistentVolume(volume: PersistentVolume, at: Path): FieldError[] {
  const errors = validatePersistentVolumeSpec(volume.spec, volume.metadata.name ?? '', at.child('spec'))
  if (volume.metadata.annotations?.[mountOptionsAnnotation] !== undefined && !takesMountOptions.some(name => volume.spec[name]))
    errors.push(
      forbidden(at.child('metadata', 'annotations', mountOptionsAnnotation), 'may not specify mount options for this volume type'),
    )
  return errors
}
const takesMountOptions = [
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'glusterfs',
  'nfs',
  'rbd',
  'quobyte',
  'iscsi',
  'cinder',
  'cephfs',
  'azureFile',
  'vsphereVolume',
  'azureDisk',
  'photonPersistentDisk',
] as const

/** The specification of the volume `name`. */
function validatePersistentVolumeSpec(spec: PersistentVolumeSpec, name: string, at: Path): FieldError[] {
  const errors = validateAccessModes(spec, at)
  const capacity = spec.capacity ?? {}
  const capacityAt = at.child('capacity')
  if (Object.keys(capacity).length === 0) errors.push(required(capacityAt))
  if (capacity['storage'] === undefined || Object.keys(capacity).length > 1)
    errors.push(notSupported(capacityAt, spec.capacity ?? null, ['storage']))
  for (const [resource, amount] of Object.entries(capacity)) {
    const here = capacityAt.key(resource)
    if (compareQuantity(amount, '0') < 0) errors.push(invalid(here, amount, 'must be a valid resource quantity'))
    if (compareQuantity(amount, '0') <= 0) errors.push(invalid(here, amount, 'must be greater than zero'))
  }
  const policy = spec.persistentVolumeReclaimPolicy
  if (policy && !reclaimPolicies.includes(policy))
    errors.push(notSupported(at.child('persistentVolumeReclaimPolicy'), policy, reclaimPolicies))
  if (spec.nodeAffinity) {
    const here = at.child('nodeAffinity', 'required')
    errors.push(
      ...(spec.nodeAffinity.required
        ? validateNodeSelector(spec.nodeAffinity.required, here)
        : [required(here, 'must specify required node constraints')]),
    )
  }
  errors.push(...validatePersistentVolumeSource(spec, name, at))
  for (const field of ['storageClassName', 'volumeAttributesClassName'] as const)
    if (spec[field]) errors.push(...isDNS1123Subdomain(spec[field]).map(m => invalid(at.child(field), spec[field], m)))
  if (spec.volumeMode !== undefined && !volumeModes.includes(spec.volumeMode))
    errors.push(notSupported(at.child('volumeMode'), spec.volumeMode, volumeModes))
  if (spec.volumeAttributesClassName !== undefined) {
    if (spec.volumeAttributesClassName === '') errors.push(required(at.child('volumeAttributesClassName'), 'an empty string is disallowed'))
    if (!spec.csi) errors.push(required(at.child('csi'), 'has to be specified when using volumeAttributesClassName'))
  }
  return errors
}

function validateAccessModes(spec: PersistentVolumeSpec, at: Path): FieldError[] {
  const modes = spec.accessModes ?? []
  const here = at.child('accessModes')
  const errors = modes.length === 0 ? [required(here)] : []
  for (const mode of modes) if (!accessModes.includes(mode)) errors.push(notSupported(here, mode, accessModes))
  if (modes.includes('ReadWriteOncePod') && modes.some(m => m !== 'ReadWriteOncePod' && accessModes.includes(m)))
    errors.push(forbidden(here, 'may not use ReadWriteOncePod with other access modes'))
  return errors
}

/** A volume of a pod that a VolumeAttachment describes as if it were a persistent one. */
export function validateInlineVolumeSpec(spec: PersistentVolumeSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (spec.claimRef) errors.push(forbidden(at.child('claimRef'), `may not be specified ${inlineText}`))
  if (Object.keys(spec.capacity ?? {}).length > 0) errors.push(forbidden(at.child('capacity'), `may not be specified ${inlineText}`))
  if (!spec.csi) errors.push(required(at.child('csi'), `has to be specified ${inlineText}`))
  errors.push(...validateAccessModes(spec, at))
  if (spec.persistentVolumeReclaimPolicy && spec.persistentVolumeReclaimPolicy !== 'Retain')
    errors.push(forbidden(at.child('persistentVolumeReclaimPolicy'), `may only be Retain ${inlineText}`))
  if (spec.nodeAffinity) errors.push(forbidden(at.child('nodeAffinity'), `may not be specified ${inlineText}`))
  errors.push(...validatePersistentVolumeSource(spec, '', at))
  if (spec.storageClassName) errors.push(forbidden(at.child('storageClassName'), `may not be specified ${inlineText}`))
  if (spec.volumeMode !== undefined && spec.volumeMode !== 'Filesystem')
    errors.push(forbidden(at.child('volumeMode'), `may not specify volumeMode other than Filesystem ${inlineText}`))
  return errors
}

export function validatePersistentVolumeUpdate(spec: PersistentVolumeSpec, old: PersistentVolumeSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!semanticEqual(sourceOf(spec, old), sourceOf(old, old)))
    errors.push(forbidden(at.child('spec', 'persistentvolumesource'), 'spec.persistentvolumesource is immutable after creation'))
  errors.push(...validateImmutable(spec.volumeMode, old.volumeMode, at.child('volumeMode')))
  if (old.nodeAffinity && !semanticEqual(withFormer(spec.nodeAffinity, old.nodeAffinity), old.nodeAffinity))
    errors.push(invalid(at.child('nodeAffinity'), spec.nodeAffinity ?? null, `${immutableText}, except for updating from beta label to GA`))
  if (old.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined)
    errors.push(forbidden(at.child('spec', 'volumeAttributesClassName'), 'update from non-nil value to nil is forbidden'))
  return errors
}

/** The source, without the one secret that may be added. */
function sourceOf(spec: PersistentVolumeSpec, old: PersistentVolumeSpec): object {
  const source = Object.fromEntries(volumeSourceNames.map(name => [name, spec[name]]))
  if (spec.csi && !old.csi?.controllerExpandSecretRef) source['csi'] = { ...spec.csi, controllerExpandSecretRef: undefined }
  return source
}

const replaced: { readonly [label: string]: string } = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
  'beta.kubernetes.io/os': 'kubernetes.io/os',
  'beta.kubernetes.io/arch': 'kubernetes.io/arch',
  'beta.kubernetes.io/instance-type': 'node.kubernetes.io/instance-type',
}
type NodeAffinity = PersistentVolumeSpec['nodeAffinity']
/** An affinity with the labels that it had, where they are deprecated and the new ones take their place. */
const withFormer = (affinity: NodeAffinity, old: NodeAffinity): unknown => ({
  ...affinity,
  required: {
    ...affinity?.required,
    nodeSelectorTerms: affinity?.required?.nodeSelectorTerms?.map((term, i) => ({
      ...term,
      matchExpressions: term.matchExpressions?.map((e, j) => {
        const former = old?.required?.nodeSelectorTerms?.[i]?.matchExpressions?.[j]?.key ?? ''
        return replaced[former] === e.key ? { ...e, key: former } : e
      }),
    })),
  },
})
