/** Rules of the storage systems of a PersistentVolume; those that pods may name as well are checked as theirs. */
import { forbidden, invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label } from '../../machinery/names.ts'
import type { PersistentVolumeSource } from './persistentvolumesource.ts'
import { dns1123Label, noBacksteps } from './podspec/formats.ts'
import { csiDriverName, need, storageRules } from './podspec/storagevalidation.ts'
import { validateHostPath } from './podspec/volumevalidation.ts'
import type { SecretReference } from './secretreference.ts'

type Source<K extends keyof PersistentVolumeSource> = NonNullable<PersistentVolumeSource[K]>
type Rules = { [K in keyof PersistentVolumeSource]-?: (source: Source<K>, at: Path, volume: string) => FieldError[] }

const invalidFormat = 'must be valid format'
const iscsiFormats: { [prefix: string]: RegExp } = {
  iqn: /iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[a-zA-Z0-9]{16}$/,
  naa: /^naa.[a-zA-Z0-9]{32}$/,
}
const iscsiName = (name: string, at: Path): FieldError[] =>
  Object.hasOwn(iscsiFormats, name.slice(0, 3)) && iscsiFormats[name.slice(0, 3)]!.test(name) ? [] : [invalid(at, name, invalidFormat)]

/** Name and namespace, both of which must be there. */
const wholeSecret = (ref: SecretReference | undefined, at: Path): FieldError[] => (ref ? need(ref, at, 'name', 'namespace') : [])

const csiSecrets = ['controllerPublishSecretRef', 'controllerExpandSecretRef', 'nodePublishSecretRef', 'nodeExpandSecretRef'] as const
// Upstream reports what is wrong with a name at the volume, and has a blank in one name.
const csiSecret = (field: (typeof csiSecrets)[number], ref: SecretReference, at: Path): FieldError[] =>
  (['name', 'namespace'] as const).flatMap(part =>
    ref[part]
      ? dns1123Label(ref[part], at.child(part))
      : [required(at.child(field === 'nodePublishSecretRef' ? 'nodePublishSecretRef ' : field, part))],
  )

/** In upstream's order: of several sources the first is checked and the others are refused. */
const rules: Rules = {
  hostPath: (s, at) => validateHostPath(s, at),
  gcePersistentDisk: storageRules.gcePersistentDisk,
  awsElasticBlockStore: storageRules.awsElasticBlockStore,
  glusterfs: (s, at) => {
    const errors = need(s, at, 'endpoints', 'path')
    const namespaceAt = at.child('endpointsNamespace')
    if (s.endpointsNamespace === '')
      errors.push(invalid(namespaceAt, '', 'if the endpointnamespace is set, it must be a valid namespace name'))
    else if (s.endpointsNamespace !== undefined)
      errors.push(...isDNS1123Label(s.endpointsNamespace).map(m => invalid(namespaceAt, s.endpointsNamespace, m)))
    return errors
  },
  flocker: storageRules.flocker,
  nfs: storageRules.nfs,
  rbd: (s, at) => need(s, at, 'monitors', 'image'),
  quobyte: storageRules.quobyte,
  cephfs: (s, at) => need(s, at, 'monitors'),
  iscsi: (s, at, volume) => {
    const errors = need(s, at, 'targetPortal', 'iqn')
    if (s.initiatorName !== undefined && `${volume}:${s.targetPortal}`.length > 64)
      errors.push(
        invalid(
          at.child('targetportal'),
          s.targetPortal ?? '',
          'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.',
        ),
      )
    if (s.iqn) errors.push(...iscsiName(s.iqn, at.child('iqn')))
    if ((s.lun ?? 0) < 0 || (s.lun ?? 0) > 255) errors.push(invalid(at.child('lun'), s.lun, 'must be between 0 and 255, inclusive'))
    if ((s.chapAuthDiscovery || s.chapAuthSession) && !s.secretRef) errors.push(required(at.child('secretRef')))
    if (s.secretRef && !s.secretRef.name) errors.push(required(at.child('secretRef', 'name')))
    if (s.initiatorName !== undefined) errors.push(...iscsiName(s.initiatorName, at.child('initiatorname')))
    return errors
  },
  cinder: (s, at) => [...need(s, at, 'volumeID'), ...wholeSecret(s.secretRef, at.child('secretRef'))],
  fc: storageRules.fc,
  flexVolume: (s, at) => storageRules.flexVolume(s, at),
  azureFile: (s, at) => [
    ...need(s, at, 'secretName', 'shareName'),
    ...(s.secretNamespace === '' ? [required(at.child('secretNamespace'))] : []),
  ],
  vsphereVolume: storageRules.vsphereVolume,
  photonPersistentDisk: storageRules.photonPersistentDisk,
  portworxVolume: storageRules.portworxVolume,
  azureDisk: storageRules.azureDisk,
  scaleIO: (s, at) => need(s, at, 'gateway', 'system', 'volumeName'),
  local: (s, at) => (s.path ? noBacksteps(s.path, at.child('path')) : [required(at.child('path'))]),
  storageos: (s, at) => [
    ...(s.volumeName ? dns1123Label(s.volumeName, at.child('volumeName')) : [required(at.child('volumeName'))]),
    ...(s.volumeNamespace ? dns1123Label(s.volumeNamespace, at.child('volumeNamespace')) : []),
    ...wholeSecret(s.secretRef, at.child('secretRef')),
  ],
  csi: (s, at) => [
    ...csiDriverName(s.driver, at.child('driver')),
    ...need(s, at, 'volumeHandle'),
    ...csiSecrets.flatMap(field => (s[field] ? csiSecret(field, s[field], at) : [])),
  ],
}
export const volumeSourceNames = Object.keys(rules) as (keyof PersistentVolumeSource)[]
/** Where upstream's paths differ from the field's name: of a first source, and of a further one. */
const rulePath: { [K in keyof Rules]?: string } = { gcePersistentDisk: 'persistentDisk' }
const secondPath: { [K in keyof Rules]?: string } = { cephfs: 'cephFS' }

/** The sources in the specification of the volume `name`, of which there must be one. */
export function validatePersistentVolumeSource(
  spec: PersistentVolumeSource & { nodeAffinity?: unknown; persistentVolumeReclaimPolicy?: string | undefined },
  name: string,
  at: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const given = volumeSourceNames.filter(n => spec[n] !== undefined)
  given.forEach((source, i) => {
    const rule = rules[source] as (source: unknown, at: Path, volume: string) => FieldError[]
    if (i > 0 && source !== 'flexVolume')
      errors.push(forbidden(at.child(secondPath[source] ?? source), 'may not specify more than 1 volume type'))
    else errors.push(...rule(spec[source], at.child(rulePath[source] ?? source), name))
  })
  if (given[0] === 'local' && spec.nodeAffinity === undefined)
    errors.push(required(at.child('nodeAffinity'), 'Local volume requires node affinity'))
  if (given.length === 0) errors.push(required(at, 'must specify a volume type'))
  if (spec.persistentVolumeReclaimPolicy === 'Recycle' && /^\/+(\.?\/*)*$/.test(spec.hostPath?.path ?? ''))
    errors.push(forbidden(at.child('persistentVolumeReclaimPolicy'), "may not be 'recycle' for a hostPath mount of '/'"))
  return errors
}
