/** Rules of the volume sources that name a storage system. The node mounts few of them; the API accepts and checks all. */
import { lookUp } from '../../../machinery/jsonvalue.ts'
import { invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../../machinery/field.ts'
import { isDNS1123Subdomain, rangeError } from '../../../machinery/names.ts'
import { dns1123Label } from './formats.ts'
import type { Volume } from './volume.ts'

type StorageKind =
  | 'gcePersistentDisk'
  | 'awsElasticBlockStore'
  | 'nfs'
  | 'iscsi'
  | 'glusterfs'
  | 'flocker'
  | 'rbd'
  | 'cinder'
  | 'cephfs'
  | 'quobyte'
  | 'fc'
  | 'flexVolume'
  | 'azureFile'
  | 'vsphereVolume'
  | 'photonPersistentDisk'
  | 'portworxVolume'
  | 'azureDisk'
  | 'storageos'
  | 'scaleIO'

/** Fields that must be there and not be empty. */
export const need = <T extends object>(source: T, at: Path, ...names: (keyof T & string)[]): FieldError[] =>
  names
    .filter(n => source[n] === undefined || source[n] === '' || (Array.isArray(source[n]) && source[n].length === 0))
    .map(n => required(at.child(n)))

/** A reference to a secret that is there must have a name. */
const namedSecret = (ref: { name?: string | undefined } | undefined, at: Path): FieldError[] =>
  ref && !ref.name ? [required(at.child('secretRef', 'name'))] : []

const partition = (value: number | undefined, at: Path): FieldError[] =>
  value !== undefined && (value < 0 || value > 255) ? [invalid(at.child('partition'), value, rangeError(1, 255))] : []
const lun = (value: number, at: Path): FieldError[] =>
  value < 0 || value > 255 ? [invalid(at.child('lun'), value, rangeError(0, 255))] : []

/** `iqn.`, `eui.` and `naa.` names of iSCSI. */
function iscsiName(name: string, at: Path): FieldError[] {
  const formats: { [prefix: string]: RegExp } = {
    iqn: /iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:[^,;*&$|\s]+)$/,
    eui: /^eui.[a-zA-Z0-9]{16}$/,
    naa: /^naa.[a-zA-Z0-9]{32}$/,
  }
  const format = lookUp(formats, name.slice(0, 3))
  if (!format) return [invalid(at, name, 'must be valid format starting with iqn, eui, or naa')]
  return format.test(name) ? [] : [invalid(at, name, 'must be valid format')]
}

/** The name of a CSI driver. */
export function csiDriverName(name: string, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!name) errors.push(required(at))
  if ((name ?? '').length > 63) errors.push(tooLong(at, 63))
  return [...errors, ...isDNS1123Subdomain((name ?? '').toLowerCase()).map(m => invalid(at, name ?? '', m))]
}

export const storageRules: { [K in StorageKind]: (source: NonNullable<Volume[K]>, at: Path) => FieldError[] } = {
  gcePersistentDisk: (s, at) => [...need(s, at, 'pdName'), ...partition(s.partition, at)],
  awsElasticBlockStore: (s, at) => [...need(s, at, 'volumeID'), ...partition(s.partition, at)],
  nfs: (s, at) => [
    ...need(s, at, 'server', 'path'),
    ...((s.path ?? '').startsWith('/') ? [] : [invalid(at.child('path'), s.path ?? '', 'must be an absolute path')]),
  ],
  iscsi: (s, at) => [
    ...need(s, at, 'targetPortal', 'iqn'),
    ...(s.iqn ? iscsiName(s.iqn, at.child('iqn')) : []),
    ...lun(s.lun ?? 0, at),
    ...((s.chapAuthDiscovery || s.chapAuthSession) && !s.secretRef ? [required(at.child('secretRef'))] : []),
    ...(s.initiatorName !== undefined ? iscsiName(s.initiatorName, at.child('initiatorname')) : []),
  ],
  glusterfs: (s, at) => need(s, at, 'endpoints', 'path'),
  flocker: (s, at) => [
    ...(!s.datasetName && !s.datasetUUID ? [required(at, 'one of datasetName and datasetUUID is required')] : []),
    ...(s.datasetName && s.datasetUUID ? [invalid(at, 'resource', 'datasetName and datasetUUID can not be specified simultaneously')] : []),
    ...(s.datasetName?.includes('/') ? [invalid(at.child('datasetName'), s.datasetName, "must not contain '/'")] : []),
  ],
  rbd: (s, at) => need(s, at, 'monitors', 'image'),
  cinder: (s, at) => [...need(s, at, 'volumeID'), ...namedSecret(s.secretRef, at)],
  cephfs: (s, at) => need(s, at, 'monitors'),
  quobyte: (s, at) => {
    const hostPort = 'must be a host:port pair or multiple pairs separated by commas'
    const errors: FieldError[] = []
    if (!s.registry) errors.push(required(at.child('registry'), hostPort))
    else if ((s.tenant ?? '').length >= 65)
      errors.push(required(at.child('tenant'), 'must be a UUID and may not exceed a length of 64 characters'))
    else
      for (const pair of s.registry.split(','))
        if (!/^([^:[\]]*|\[[^\]]*\]):[^:]*$/.test(pair)) errors.push(invalid(at.child('registry'), s.registry, hostPort))
    return [...errors, ...need(s, at, 'volume')]
  },
  fc: (s, at) => {
    const errors: FieldError[] = []
    const wwns = s.targetWWNs ?? []
    const wwids = s.wwids ?? []
    if (wwns.length === 0 && wwids.length === 0)
      errors.push(required(at.child('targetWWNs'), 'must specify either targetWWNs or wwids, but not both'))
    if (wwns.length > 0 && wwids.length > 0)
      errors.push(invalid(at.child('targetWWNs'), wwns, 'targetWWNs and wwids can not be specified simultaneously'))
    if (wwns.length > 0)
      errors.push(...(s.lun === undefined ? [required(at.child('lun'), 'lun is required if targetWWNs is specified')] : lun(s.lun, at)))
    return errors
  },
  flexVolume: (s, at) => [
    ...need(s, at, 'driver'),
    ...Object.keys(s.options ?? {})
      .filter(key => /\.(kubernetes|k8s)\.io$/.test(`.${key.split('/')[0]?.toLowerCase()}`))
      .map(key => invalid(at.child('options').key(key), key, 'kubernetes.io and k8s.io namespaces are reserved')),
  ],
  azureFile: (s, at) => need(s, at, 'secretName', 'shareName'),
  vsphereVolume: (s, at) => need(s, at, 'volumePath'),
  photonPersistentDisk: (s, at) => need(s, at, 'pdID'),
  portworxVolume: (s, at) => need(s, at, 'volumeID'),
  azureDisk: (s, at) => {
    const errors = need(s, at, 'diskName', 'diskURI')
    const cachingModes = ['None', 'ReadOnly', 'ReadWrite']
    const kinds = ['Shared', 'Dedicated', 'Managed']
    const uri = s.diskURI ?? ''
    if (s.cachingMode !== undefined && !cachingModes.includes(s.cachingMode))
      errors.push(notSupported(at.child('cachingMode'), s.cachingMode, cachingModes))
    if (s.kind !== undefined && !kinds.includes(s.kind)) errors.push(notSupported(at.child('kind'), s.kind, kinds))
    const managed = ['/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}']
    const blob = ['https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd']
    if (s.kind === 'Managed' && !uri.startsWith('/subscriptions/')) errors.push(notSupported(at.child('diskURI'), uri, managed))
    if (s.kind !== undefined && s.kind !== 'Managed' && !uri.startsWith('https://'))
      errors.push(notSupported(at.child('diskURI'), uri, blob))
    return errors
  },
  storageos: (s, at) => [
    ...(s.volumeName ? dns1123Label(s.volumeName, at.child('volumeName')) : [required(at.child('volumeName'))]),
    ...(s.volumeNamespace ? dns1123Label(s.volumeNamespace, at.child('volumeNamespace')) : []),
    ...namedSecret(s.secretRef, at),
  ],
  scaleIO: (s, at) => need(s, at, 'gateway', 'system', 'volumeName'),
}
