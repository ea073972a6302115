/** Rules of pod volumes: names, one source each, and the sources that pods use every day. Storage systems are in storagevalidation.ts. */
import { duplicate, forbidden, invalid, notSupported, type FieldError, type Path, required } from '../../../machinery/field.ts'
import { isDNS1123Subdomain } from '../../../machinery/names.ts'
import { compareQuantity } from '../../../machinery/quantity.ts'
import { validateLabelSelector } from '../../meta/labelselector.ts'
import type { ObjectMeta } from '../../meta/objectmeta.ts'
import { validatePersistentVolumeClaimTemplate } from '../persistentvolumeclaimspecvalidation.ts'
import { objectFieldRules, resourceFieldRules, volumeFieldPaths } from './envvalidation.ts'
import { dns1123Label, dns1123Subdomain, fileMode, localNonReservedPath, localPath, noBacksteps } from './formats.ts'
import type { ProjectedVolumeSource, VolumeProjection } from './projectedvolume.ts'
import { csiDriverName, storageRules } from './storagevalidation.ts'
import type { DownwardAPIVolumeFile, EphemeralVolumeSource, HostPathVolumeSource, ImageVolumeSource, KeyToPath, Volume } from './volume.ts'

export interface VolumeContext {
  /** The pod's or template's metadata; the name tells the names of ephemeral claims. */
  meta: ObjectMeta
  /** A pod and not a template, which may leave some things open. */
  isPod: boolean
}

/** All broken rules, and the volumes that are sound, by name: mounts may refer to those only. */
export function validateVolumes(
  volumes: readonly Volume[],
  ctx: VolumeContext,
  path: Path,
): { byName: Map<string, Volume>; errors: FieldError[] } {
  const byName = new Map<string, Volume>()
  const errors: FieldError[] = []
  const claims = new Set(ctx.meta.name ? volumes.filter(v => v.ephemeral).map(v => `${ctx.meta.name}-${v.name}`) : [])
  volumes.forEach((v, i) => {
    const at = path.index(i)
    const own = validateSource(v, ctx, at)
    if (!v.name) own.push(required(at.child('name')))
    else own.push(...dns1123Label(v.name, at.child('name')))
    if (byName.has(v.name)) own.push(duplicate(at.child('name'), v.name))
    if (own.length === 0) byName.set(v.name, v)
    errors.push(...own)
    if (v.persistentVolumeClaim && claims.has(v.persistentVolumeClaim.claimName))
      errors.push(
        invalid(
          at.child('persistentVolumeClaim', 'claimName'),
          v.persistentVolumeClaim.claimName,
          'must not reference a PVC that gets created for an ephemeral volume',
        ),
      )
  })
  return { byName, errors }
}

type Rule<K extends keyof Volume> = (source: NonNullable<Volume[K]>, at: Path, ctx: VolumeContext, volume: Volume) => FieldError[]
type Rules = { [K in Exclude<keyof Volume, 'name'>]: Rule<K> }

/** In upstream's order: of several sources the first is checked and the others are refused. */
const rules: Rules = {
  emptyDir: () => [],
  hostPath: (s, at) => validateHostPath(s, at),
  gitRepo: (s, at) => [...need(s.repository, at.child('repository')), ...localPath(s.directory ?? '', at.child('directory'))],
  gcePersistentDisk: storageRules.gcePersistentDisk,
  awsElasticBlockStore: storageRules.awsElasticBlockStore,
  secret: (s, at) => [
    ...need(s.secretName, at.child('secretName')),
    ...fileMode(s.defaultMode, at.child('defaultMode')),
    ...validateItems(s.items, at.child('items')),
  ],
  nfs: storageRules.nfs,
  iscsi: storageRules.iscsi,
  glusterfs: storageRules.glusterfs,
  flocker: storageRules.flocker,
  persistentVolumeClaim: (s, at) => need(s.claimName, at.child('claimName')),
  rbd: storageRules.rbd,
  cinder: storageRules.cinder,
  cephfs: storageRules.cephfs,
  quobyte: storageRules.quobyte,
  downwardAPI: (s, at) => [
    ...fileMode(s.defaultMode, at.child('defaultMode')),
    ...(s.items ?? []).flatMap(f => validateDownwardFile(f, at)),
  ],
  fc: storageRules.fc,
  flexVolume: storageRules.flexVolume,
  configMap: (s, at) => [
    ...need(s.name, at.child('name')),
    ...fileMode(s.defaultMode, at.child('defaultMode')),
    ...validateItems(s.items, at.child('items')),
  ],
  azureFile: storageRules.azureFile,
  vsphereVolume: storageRules.vsphereVolume,
  photonPersistentDisk: storageRules.photonPersistentDisk,
  portworxVolume: storageRules.portworxVolume,
  azureDisk: storageRules.azureDisk,
  storageos: storageRules.storageos,
  projected: (s, at) => validateProjected(s, at),
  scaleIO: storageRules.scaleIO,
  csi: (s, at) => {
    const errors = csiDriverName(s.driver, at.child('driver'))
    if (!s.nodePublishSecretRef) return errors
    const name = s.nodePublishSecretRef.name
    return [...errors, ...(name ? dns1123Subdomain(name, at.child('name')) : [required(at.child('nodePublishSecretRef', 'name'))])]
  },
  ephemeral: (s, at, ctx, v) => validateEphemeral(s, at, ctx, v),
  image: (s, at, ctx) => validateImage(s, at, ctx),
}
const sourceNames = Object.keys(rules) as (keyof Rules)[]
/** Where upstream's paths differ from the field's name. */
const rulePath: { [K in keyof Rules]?: string } = { gcePersistentDisk: 'persistentDisk' }
const secondPath: { [K in keyof Rules]?: string } = { cephfs: 'cephFS', downwardAPI: 'downwarAPI' }

const need = (value: string | undefined, at: Path): FieldError[] => (value ? [] : [required(at)])

const tooLongPortal = 'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.'

function validateSource(volume: Volume, ctx: VolumeContext, path: Path): FieldError[] {
  const errors: FieldError[] = []
  let seen = false
  for (const name of sourceNames) {
    const source = volume[name]
    if (source === undefined) continue
    if (name === 'emptyDir' && volume.emptyDir?.sizeLimit !== undefined && compareQuantity(volume.emptyDir.sizeLimit, '0') < 0)
      errors.push(forbidden(path.child('emptyDir', 'sizeLimit'), 'SizeLimit field must be a valid resource quantity'))
    if (seen) errors.push(forbidden(path.child(secondPath[name] ?? name), 'may not specify more than 1 volume type'))
    else errors.push(...(rules[name] as Rule<typeof name>)(source as never, path.child(rulePath[name] ?? name), ctx, volume))
    seen = true
    if (name === 'iscsi' && volume.iscsi?.initiatorName !== undefined && `${volume.name}:${volume.iscsi.targetPortal}`.length > 64)
      errors.push(invalid(path.child('name'), volume.name, tooLongPortal))
  }
  if (!seen) errors.push(required(path, 'must specify a volume type'))
  return errors
}

const hostPathTypes = ['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice']

export function validateHostPath(s: HostPathVolumeSource, at: Path): FieldError[] {
  if (!s.path) return [required(at.child('path'))]
  const errors = noBacksteps(s.path, at.child('path'))
  if (s.type !== undefined && !hostPathTypes.includes(s.type)) errors.push(notSupported(at.child('type'), s.type, hostPathTypes))
  return errors
}

const validateItems = (items: readonly KeyToPath[] | undefined, at: Path): FieldError[] =>
  (items ?? []).flatMap((item, i) => validateKeyToPath(item, at.index(i)))

const validateKeyToPath = (item: KeyToPath, at: Path): FieldError[] => [
  ...need(item.key, at.child('key')),
  ...need(item.path, at.child('path')),
  ...localNonReservedPath(item.path ?? '', at.child('path')),
  ...fileMode(item.mode, at.child('mode')),
]

function validateDownwardFile(file: DownwardAPIVolumeFile, at: Path): FieldError[] {
  const errors = [...need(file.path, at.child('path')), ...localNonReservedPath(file.path ?? '', at.child('path'))]
  if (file.fieldRef) {
    errors.push(...objectFieldRules(file.fieldRef, volumeFieldPaths, at.child('fieldRef')))
    if (file.resourceFieldRef) errors.push(invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'))
  } else if (file.resourceFieldRef) errors.push(...resourceFieldRules(file.resourceFieldRef, at.child('resourceFieldRef'), true))
  else errors.push(required(at, 'one of fieldRef and resourceFieldRef is required'))
  errors.push(...fileMode(file.mode, at.child('mode')))
  return errors
}

function validateEphemeral(s: EphemeralVolumeSource, at: Path, ctx: VolumeContext, volume: Volume): FieldError[] {
  const template = at.child('volumeClaimTemplate')
  const errors = s.volumeClaimTemplate ? validatePersistentVolumeClaimTemplate(s.volumeClaimTemplate, template) : [required(template)]
  if (!ctx.meta.name || !volume.name) return errors
  const claim = `${ctx.meta.name}-${volume.name}`
  return [...errors, ...isDNS1123Subdomain(claim).map(m => invalid(at.child('name'), volume.name, `PVC name "${claim}": ${m}`))]
}

const pullPolicies = ['Always', 'IfNotPresent', 'Never']
/** An image pull policy, of containers and of image volumes. */
export function validatePullPolicy(policy: string | undefined, at: Path): FieldError[] {
  if (!policy) return [required(at)]
  return pullPolicies.includes(policy) ? [] : [notSupported(at, policy, pullPolicies)]
}

const validateImage = (s: ImageVolumeSource, at: Path, ctx: VolumeContext): FieldError[] => [
  ...(ctx.isPod ? need(s.reference, at.child('reference')) : []),
  ...validatePullPolicy(s.pullPolicy, at.child('pullPolicy')),
]

function validateProjected(s: ProjectedVolumeSource, at: Path): FieldError[] {
  const errors = fileMode(s.defaultMode, at.child('defaultMode'))
  const paths = new Set<string>()
  const claim = (p: string | undefined, shown: string | undefined) => {
    if (!p) return
    if (paths.has(p)) errors.push(invalid(at, shown ?? '', 'conflicting duplicate paths'))
    paths.add(p)
  }
  ;(s.sources ?? []).forEach((source, i) => {
    const here = at.child('sources').index(i)
    for (const kind of ['secret', 'configMap'] as const) {
      const named = source[kind]
      if (!named) continue
      errors.push(...need(named.name, here.child(kind, 'name')))
      ;(named.items ?? []).forEach((item, j) => {
        errors.push(...validateKeyToPath(item, here.child(kind, 'items').index(j)))
        claim(item.path, named.name)
      })
    }
    for (const file of source.downwardAPI?.items ?? []) {
      errors.push(...validateDownwardFile(file, here.child('downwardAPI')))
      claim(file.path, file.path)
    }
    errors.push(...validateToken(source, at, here))
    if (source.clusterTrustBundle) {
      errors.push(...validateTrustBundle(source.clusterTrustBundle, here.child('clusterTrustBundle')))
      claim(source.clusterTrustBundle.path, source.clusterTrustBundle.path)
    }
    if (source.podCertificate) {
      errors.push(...validatePodCertificate(source.podCertificate, here.child('podCertificate')))
      for (const p of [
        source.podCertificate.credentialBundlePath,
        source.podCertificate.keyPath,
        source.podCertificate.certificateChainPath,
      ])
        claim(p, p)
    }
    if (Object.values(source).filter(v => v !== undefined).length > 1)
      errors.push(forbidden(here, 'may not specify more than 1 volume type per source'))
  })
  return errors
}

/** `at` is the projected volume: upstream reports a token's path there. */
function validateToken(source: VolumeProjection, at: Path, here: Path): FieldError[] {
  const token = source.serviceAccountToken
  if (!token) return []
  const errors: FieldError[] = []
  const seconds = token.expirationSeconds ?? 3600
  if (seconds < 600)
    errors.push(invalid(here.child('serviceAccountToken', 'expirationSeconds'), seconds, 'may not specify a duration less than 10 minutes'))
  if (seconds > 2 ** 32)
    errors.push(
      invalid(here.child('serviceAccountToken', 'expirationSeconds'), seconds, 'may not specify a duration larger than 2^32 seconds'),
    )
  errors.push(...(token.path ? localNonReservedPath(token.path, at.child('path')) : [required(at.child('path'))]))
  return errors
}

function validateTrustBundle(bundle: NonNullable<VolumeProjection['clusterTrustBundle']>, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (bundle.name !== undefined && bundle.signerName !== undefined)
    errors.push(invalid(at, bundle, 'only one of name and signerName may be used'))
  else if (bundle.name !== undefined) {
    if (!bundle.name) errors.push(required(at.child('name'), 'must be a valid object name'))
    // A bundle of a signer is named `<signer with : for />:<name>`.
    for (const m of isDNS1123Subdomain(bundle.name.slice(bundle.name.lastIndexOf(':') + 1)))
      errors.push(invalid(at.child('name'), bundle.name, `not a valid clustertrustbundlename: ${m}`))
    if (bundle.labelSelector)
      errors.push(invalid(at.child('labelSelector'), bundle.labelSelector, 'labelSelector must be unset if name is specified'))
  } else if (bundle.signerName !== undefined) {
    if (!bundle.signerName) errors.push(required(at.child('signerName'), 'must be a valid signer name'))
    else errors.push(...signerName(bundle.signerName, at.child('signerName')))
    errors.push(...validateLabelSelector(bundle.labelSelector, {}, at.child('labelSelector')))
  } else errors.push(required(at, 'either name or signerName must be specified'))
  return [...errors, ...need(bundle.path, at.child('path')), ...localNonReservedPath(bundle.path ?? '', at.child('path'))]
}

const keyTypes = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519']

function validatePodCertificate(cert: NonNullable<VolumeProjection['podCertificate']>, at: Path): FieldError[] {
  const errors = cert.signerName ? signerName(cert.signerName, at.child('signerName')) : [required(at.child('signerName'))]
  if (!keyTypes.includes(cert.keyType ?? '')) errors.push(notSupported(at.child('keyType'), cert.keyType ?? '', keyTypes))
  if (cert.maxExpirationSeconds !== undefined && (cert.maxExpirationSeconds < 3600 || cert.maxExpirationSeconds > 91 * 86400))
    errors.push(
      invalid(
        at.child('maxExpirationSeconds'),
        cert.maxExpirationSeconds,
        `if provided, maxExpirationSeconds must be between 3600 and ${91 * 86400}`,
      ),
    )
  const paths = ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const
  if (!paths.some(p => cert[p]))
    errors.push(required(at, 'specify at least one of credentialBundlePath, keyPath, and certificateChainPath'))
  for (const p of paths) if (cert[p]) errors.push(...localNonReservedPath(cert[p], at.child(p)))
  return errors
}

function signerName(name: string, at: Path): FieldError[] {
  const [domain, ...rest] = name.split('/')
  if (rest.length !== 1 || !rest[0])
    return [invalid(at, name, 'must be a fully qualified domain and path of the form "example.com/signer-name"')]
  return (domain ?? '').includes('.')
    ? dns1123Subdomain(domain ?? '', at)
    : [invalid(at, name, 'should be a domain with at least two segments separated by dots')]
}
