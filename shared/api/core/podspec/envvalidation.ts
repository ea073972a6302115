/** Rules of environment variables and of the selectors that take values from the pod, its resources, ConfigMaps, Secrets and files. */
import { invalid, notFound, notSupported, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { compareQuantity, normalQuantity } from '../../../machinery/quantity.ts'
import type { EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, ResourceFieldSelector } from './env.ts'
import { configMapKey, dns1123Subdomain, dns1123SubdomainPrefix, envVarName, localNonReservedPath, qualifiedName } from './formats.ts'
import type { Volume } from './volume.ts'

/** The pod fields that an environment variable may show, beside labels and annotations by key. */
const envFieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]
/** The pod fields that a downward API volume may show. */
export const volumeFieldPaths: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.labels',
  'metadata.annotations',
  'metadata.uid',
]
/** All that the downward API knows; each use allows a part of them. */
const downwardFieldPaths = [
  ...envFieldPaths,
  'metadata.labels',
  'metadata.annotations',
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
  'spec.host',
]

export function validateEnv(env: readonly EnvVar[] | undefined, volumes: ReadonlyMap<string, Volume>, path: Path): FieldError[] {
  return (env ?? []).flatMap((v, i) => {
    const at = path.index(i)
    const name = v.name ? envVarName(v.name, at.child('name')) : [required(at.child('name'))]
    if (!v.valueFrom) return name
    const from = at.child('valueFrom')
    return [...name, ...validateValueFrom(v.valueFrom, v.value, from), ...fileVolumeRules(v.valueFrom.fileKeyRef, volumes, from)]
  })
}

/** Only what containers of the pod have written themselves is read by the kubelet. */
function fileVolumeRules(file: FileKeySelector | undefined, volumes: ReadonlyMap<string, Volume>, path: Path): FieldError[] {
  const at = path.child('fileKeyRef', 'volumeName')
  if (!file?.volumeName) return []
  const volume = volumes.get(file.volumeName)
  if (!volume) return [notFound(at, file.volumeName)]
  return volume.emptyDir ? [] : [invalid(at, file.volumeName, 'referenced volume must be of type emptyDir')]
}

function validateValueFrom(from: EnvVarSource, value: string | undefined, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (from.fieldRef) errors.push(...objectFieldRules(from.fieldRef, envFieldPaths, at.child('fieldRef')))
  if (from.resourceFieldRef) errors.push(...resourceFieldRules(from.resourceFieldRef, at.child('resourceFieldRef'), false))
  if (from.configMapKeyRef) errors.push(...keySelectorRules(from.configMapKeyRef, at.child('configMapKeyRef')))
  if (from.secretKeyRef) errors.push(...keySelectorRules(from.secretKeyRef, at.child('secretKeyRef')))
  if (from.fileKeyRef) errors.push(...fileKeyRules(from.fileKeyRef, at.child('fileKeyRef')))
  const sources = Object.values(from).filter(v => v !== undefined).length
  if (sources === 0)
    errors.push(invalid(at, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'))
  else if (value) errors.push(invalid(at, '', 'may not be specified when `value` is not empty'))
  else if (sources > 1) errors.push(invalid(at, '', 'may not have more than one field specified at a time'))
  return errors
}

const keySelectorRules = (s: { name?: string | undefined; key: string }, at: Path): FieldError[] => [
  ...dns1123Subdomain(s.name ?? '', at.child('name')),
  ...(s.key ? configMapKey(s.key, at.child('key')) : [required(at.child('key'))]),
]

const fileKeyRules = (s: FileKeySelector, at: Path): FieldError[] => [
  ...(s.key ? envVarName(s.key, at.child('key')) : [required(at.child('key'))]),
  ...(s.volumeName ? [] : [required(at.child('volumeName'))]),
  ...(s.path ? localNonReservedPath(s.path, at.child('path')) : [required(at.child('path'))]),
]

/** A field of the pod by path, `metadata.labels['key']` for one label; `allowed` are the paths without a key. */
export function objectFieldRules(s: ObjectFieldSelector, allowed: readonly string[], at: Path): FieldError[] {
  if (!s.apiVersion) return [required(at.child('apiVersion'))]
  if (!s.fieldPath) return [required(at.child('fieldPath'))]
  const unconvertible = (why: string) => [invalid(at.child('fieldPath'), s.fieldPath, `error converting fieldPath: ${why}`)]
  if (s.apiVersion !== 'v1') return unconvertible(`unsupported pod version: ${s.apiVersion}`)
  const keyed = /^([^[]+)\['(.*)'\]$/.exec(s.fieldPath)
  if (keyed) {
    const [, path = '', key = ''] = keyed
    if (path === 'metadata.annotations') return qualifiedName(key.toLowerCase(), at)
    if (path === 'metadata.labels') return qualifiedName(key, at)
    return unconvertible(`field label does not support subscript: ${s.fieldPath}`)
  }
  if (!downwardFieldPaths.includes(s.fieldPath)) return unconvertible(`field label not supported: ${s.fieldPath}`)
  const path = s.fieldPath === 'spec.host' ? 'spec.nodeName' : s.fieldPath
  return allowed.includes(path) ? [] : [notSupported(at.child('fieldPath'), path, allowed)]
}

const resourceFieldPaths = [
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
]
const byteDivisors = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei']
const divisorsOf: { [resource: string]: readonly string[] } = { cpu: ['1m', '1'], memory: byteDivisors, 'ephemeral-storage': byteDivisors }
const divisorNames: { [resource: string]: string } = { cpu: 'cpu', memory: 'memory', 'ephemeral-storage': 'local ephemeral storage' }

/** A resource of a container; in a volume the container must be named. */
export function resourceFieldRules(s: ResourceFieldSelector, at: Path, inVolume: boolean): FieldError[] {
  const errors: FieldError[] = []
  const resource = s.resource ?? ''
  const huge = /^(requests|limits)\.hugepages-/.test(resource)
  if (inVolume && !s.containerName) errors.push(required(at.child('containerName')))
  else if (!resource) errors.push(required(at.child('resource')))
  else if (!resourceFieldPaths.includes(resource) && !huge) errors.push(notSupported(at.child('resource'), resource, resourceFieldPaths))
  const divisor = s.divisor
  if (divisor === undefined || compareQuantity(divisor, '0') === 0) return errors
  const kind = resource.slice(resource.indexOf('.') + 1)
  const allowed = huge ? byteDivisors : resourceFieldPaths.includes(resource) ? divisorsOf[kind] : undefined
  if (!allowed || allowed.includes(normalQuantity(divisor) ?? divisor)) return errors
  const list = kind === 'cpu' ? '1m and 1' : byteDivisors.join(', ')
  return [
    ...errors,
    invalid(
      at.child('divisor'),
      resource,
      `only divisor's values ${list} are supported with the ${huge ? 'hugepages' : divisorNames[kind]} resource`,
    ),
  ]
}

/** Upstream reports a missing or second source at the list and not at the item. */
export function validateEnvFrom(sources: readonly EnvFromSource[] | undefined, path: Path): FieldError[] {
  return (sources ?? []).flatMap((s, i) => {
    const at = path.index(i)
    const errors = s.prefix ? envVarName(s.prefix, at.child('prefix')) : []
    for (const kind of ['configMapRef', 'secretRef'] as const) {
      const ref = s[kind]
      if (ref) errors.push(...(ref.name ? dns1123SubdomainPrefix(ref.name, at.child(kind, 'name')) : [required(at.child(kind, 'name'))]))
    }
    if (!s.configMapRef && !s.secretRef) errors.push(invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`'))
    else if (s.configMapRef && s.secretRef) errors.push(invalid(path, '', 'may not have more than one field specified at a time'))
    return errors
  })
}
