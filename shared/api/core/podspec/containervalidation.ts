/** Rules of containers: regular, init and ephemeral ones. */
import {
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
  tooMany,
  type FieldError,
  type Path,
} from '../../../machinery/field.ts'
import { isPortName } from '../../../machinery/names.ts'
import type { Container, ContainerPort, ContainerResizePolicy, VolumeDevice, VolumeMount } from './container.ts'
import { validateEnv, validateEnvFrom } from './envvalidation.ts'
import type { EphemeralContainer } from './ephemeralcontainer.ts'
import { dns1123Label, localPath, noBacksteps, portNumber } from './formats.ts'
import { validateLifecycle, validateProbe } from './probevalidation.ts'
import { validateResources } from './resourcevalidation.ts'
import { validateSecurityContext } from './securityvalidation.ts'
import type { Volume } from './volume.ts'
import { validatePullPolicy } from './volumevalidation.ts'

/** What the rules of a container need to know of its pod. */
export interface ContainerContext {
  volumes: ReadonlyMap<string, Volume>
  claims: ReadonlySet<string>
  graceSeconds: number | undefined
  restartPolicy: string | undefined
  /** spec.os.name */
  os: string | undefined
  /** spec.hostUsers, true when unset. */
  hostUsers: boolean
}

/** A volume that a container mounts, or a device it opens. */
const hasPath = (path: string, items: readonly { [k in 'mountPath' | 'devicePath']?: string | undefined }[]): boolean =>
  items.some(i => (i.mountPath ?? i.devicePath) === path)
const hasName = (name: string, items: readonly { name: string }[]): boolean => items.some(i => i.name === name)

function validateCommon(c: Container, ctx: ContainerContext, path: Path): FieldError[] {
  const errors = c.name ? dns1123Label(c.name, path.child('name')) : [required(path.child('name'))]
  if (!c.image) errors.push(required(path.child('image')))
  const messagePolicies = ['File', 'FallbackToLogsOnError']
  if (!c.terminationMessagePolicy) errors.push(required(path.child('terminationMessagePolicy')))
  else if (!messagePolicies.includes(c.terminationMessagePolicy))
    errors.push(notSupported(path.child('terminationMessagePolicy'), c.terminationMessagePolicy, messagePolicies))
  errors.push(
    ...validatePorts(c.ports ?? [], path.child('ports')),
    ...validateEnv(c.env, ctx.volumes, path.child('env')),
    ...validateEnvFrom(c.envFrom, path.child('envFrom')),
    ...validateMounts(c, ctx, path.child('volumeMounts')),
    ...validateDevices(c.volumeDevices ?? [], c.volumeMounts ?? [], ctx, path.child('volumeDevices')),
    ...validatePullPolicy(c.imagePullPolicy, path.child('imagePullPolicy')),
    ...validateResources(c.resources, ctx.claims, path.child('resources')),
    ...validateResizePolicy(c.resizePolicy ?? [], ctx.restartPolicy, path.child('resizePolicy')),
    ...validateSecurityContext(c.securityContext, path.child('securityContext'), ctx.hostUsers),
  )
  return errors
}

const protocols = ['TCP', 'UDP', 'SCTP']
function validatePorts(ports: readonly ContainerPort[], path: Path): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  ports.forEach((port, i) => {
    const at = path.index(i)
    if (port.name) {
      const wrong = isPortName(port.name)
      if (wrong.length > 0) errors.push(...wrong.map(m => invalid(at.child('name'), port.name, m)))
      else if (names.has(port.name)) errors.push(duplicate(at.child('name'), port.name))
      else names.add(port.name)
    }
    if (!port.containerPort) errors.push(required(at.child('containerPort')))
    else errors.push(...portNumber(port.containerPort, at.child('containerPort')))
    if (port.hostPort) errors.push(...portNumber(port.hostPort, at.child('hostPort')))
    if (!port.protocol) errors.push(required(at.child('protocol')))
    else if (!protocols.includes(port.protocol)) errors.push(notSupported(at.child('protocol'), port.protocol, protocols))
  })
  return errors
}

/** Upstream reports paths within volumes, propagation and recursion at the list and not at the item. */
function validateMounts(c: Container, ctx: ContainerContext, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const devices = c.volumeDevices ?? []
  const seen = new Set<string>()
  ;(c.volumeMounts ?? []).forEach((m, i) => {
    const at = path.index(i)
    const mountPath = m.mountPath ?? ''
    if (!m.name) errors.push(required(at.child('name')))
    if (!ctx.volumes.has(m.name)) errors.push(notFound(at.child('name'), m.name ?? ''))
    if (!mountPath) errors.push(required(at.child('mountPath')))
    if (seen.has(mountPath)) errors.push(invalid(at.child('mountPath'), mountPath, 'must be unique'))
    seen.add(mountPath)
    if (hasName(m.name, devices)) errors.push(invalid(at.child('name'), m.name, 'must not already exist in volumeDevices'))
    if (hasPath(mountPath, devices))
      errors.push(invalid(at.child('mountPath'), mountPath, 'must not already exist as a path in volumeDevices'))
    if (m.subPath) errors.push(...localPath(m.subPath, path.child('subPath')))
    if (m.subPathExpr) {
      if (m.subPath) errors.push(invalid(at.child('subPathExpr'), m.subPathExpr, 'subPathExpr and subPath are mutually exclusive'))
      errors.push(...localPath(m.subPathExpr, path.child('subPathExpr')))
    }
    errors.push(...validatePropagation(m, c, path.child('mountPropagation')), ...validateRecursion(m, path.child('recursiveReadOnly')))
  })
  return errors
}

const propagations = ['Bidirectional', 'HostToContainer', 'None']
function validatePropagation(m: VolumeMount, c: Container, at: Path): FieldError[] {
  if (m.mountPropagation === undefined) return []
  if (!propagations.includes(m.mountPropagation)) return [notSupported(at, m.mountPropagation, propagations)]
  return m.mountPropagation === 'Bidirectional' && !c.securityContext?.privileged
    ? [forbidden(at, 'Bidirectional mount propagation is available only to privileged containers')]
    : []
}

const recursions = ['Disabled', 'IfPossible', 'Enabled']
function validateRecursion(m: VolumeMount, at: Path): FieldError[] {
  if (m.recursiveReadOnly === undefined || m.recursiveReadOnly === 'Disabled') return []
  if (!recursions.includes(m.recursiveReadOnly)) return [notSupported(at, m.recursiveReadOnly, recursions)]
  const errors: FieldError[] = []
  if (!m.readOnly) errors.push(forbidden(at, 'may only be specified when readOnly is true'))
  if ((m.mountPropagation ?? 'None') !== 'None')
    errors.push(forbidden(at, 'may only be specified when mountPropagation is None or not specified'))
  return errors
}

function validateDevices(
  devices: readonly VolumeDevice[],
  mounts: readonly VolumeMount[],
  ctx: ContainerContext,
  path: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const names = new Set<string>()
  devices.forEach((d, i) => {
    const at = path.index(i)
    const name = d.name ?? ''
    const devicePath = d.devicePath ?? ''
    const volume = ctx.volumes.get(name)
    if (!name) errors.push(required(at.child('name')))
    if (names.has(name)) errors.push(invalid(at.child('name'), name, 'must be unique'))
    if (volume && !volume.persistentVolumeClaim && !volume.ephemeral)
      errors.push(invalid(at.child('name'), name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'))
    if (!volume) errors.push(notFound(at.child('name'), name))
    if (!devicePath) errors.push(required(at.child('devicePath')))
    if (paths.has(devicePath)) errors.push(invalid(at.child('devicePath'), devicePath, 'must be unique'))
    if (devicePath && noBacksteps(devicePath, path).length > 0)
      errors.push(invalid(at.child('devicePath'), devicePath, "can not contain backsteps ('..')"))
    else paths.add(devicePath)
    if (hasName(name, mounts)) errors.push(invalid(at.child('name'), name, 'must not already exist in volumeMounts'))
    if (hasPath(devicePath, mounts))
      errors.push(invalid(at.child('devicePath'), devicePath, 'must not already exist as a path in volumeMounts'))
    if (name) names.add(name)
  })
  return errors
}

const resizable = ['cpu', 'memory']
const resizePolicies = ['NotRequired', 'RestartContainer']
function validateResizePolicy(policies: readonly ContainerResizePolicy[], podRestartPolicy: string | undefined, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  policies.forEach((p, i) => {
    if (seen.has(p.resourceName)) errors.push(duplicate(path.index(i), p.resourceName))
    seen.add(p.resourceName)
    if (!p.resourceName) errors.push(required(path))
    else if (!resizable.includes(p.resourceName)) errors.push(notSupported(path, p.resourceName, resizable))
    if (!p.restartPolicy) errors.push(required(path))
    else if (!resizePolicies.includes(p.restartPolicy)) errors.push(notSupported(path, p.restartPolicy, resizePolicies))
    if (podRestartPolicy === 'Never' && p.restartPolicy !== 'NotRequired')
      errors.push(invalid(path, p.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
  })
  return errors
}

const restartPolicies = ['Always', 'Never', 'OnFailure']
/** A container's own restart policy and its rules by exit code (KEP-5307). */
function validateRestart(c: Container, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const rules = c.restartPolicyRules ?? []
  const at = path.child('restartPolicyRules')
  if (c.restartPolicy !== undefined && !restartPolicies.includes(c.restartPolicy))
    errors.push(notSupported(path.child('restartPolicy'), c.restartPolicy, restartPolicies))
  if (rules.length > 0 && c.restartPolicy === undefined)
    errors.push(required(path.child('restartPolicy'), 'must specify restartPolicy when restart rules are used'))
  if (rules.length > 20) errors.push(tooMany(at, rules.length, 20))
  rules.forEach((rule, i) => {
    const here = at.index(i)
    const actions = ['Restart']
    const operators = ['In', 'NotIn']
    if (!rule.action) errors.push(required(here.child('action')))
    else if (!actions.includes(rule.action)) errors.push(notSupported(here.child('action'), rule.action, actions))
    if (!rule.exitCodes) return errors.push(required(here.child('exitCodes'), 'must be specified'))
    const { operator, values = [] } = rule.exitCodes
    if (!operator) errors.push(required(here.child('exitCodes', 'operator')))
    else if (!operators.includes(operator)) errors.push(notSupported(here.child('exitCodes', 'operator'), operator, operators))
    if (values.length === 0) errors.push(invalid(here.child('exitCodes', 'values'), values, 'must specify at least one value'))
    if (values.length > 255) errors.push(tooMany(here.child('exitCodes', 'values'), values.length, 255))
    return undefined
  })
  return errors
}

/** Image names of pods, not of templates, have no white space around them. */
export const validateImageName = (c: { image?: string | undefined }, path: Path): FieldError[] =>
  (c.image ?? '') === (c.image ?? '').trim() ? [] : [invalid(path.child('image'), c.image, 'must not have leading or trailing whitespace')]

const validateProbes = (c: Container, ctx: ContainerContext, at: Path): FieldError[] => [
  ...validateLifecycle(c.lifecycle, ctx.graceSeconds, ctx.os, at.child('lifecycle')),
  ...validateProbe('livenessProbe', c.livenessProbe, ctx.graceSeconds, at),
  ...validateProbe('readinessProbe', c.readinessProbe, ctx.graceSeconds, at),
  ...validateProbe('startupProbe', c.startupProbe, ctx.graceSeconds, at),
]

/** Upstream reports each doubly used host port within `containers`. */
function hostPortConflicts(containers: readonly Container[], path: Path): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  containers.forEach((c, i) =>
    (c.ports ?? []).forEach((port, j) => {
      if (!port.hostPort) return
      const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`
      if (seen.has(key)) errors.push(duplicate(path.index(i).child('ports').index(j).child('hostPort'), key))
      seen.add(key)
    }),
  )
  return errors
}

export function validateContainers(containers: readonly Container[], ctx: ContainerContext, path: Path): FieldError[] {
  if (containers.length === 0) return [required(path)]
  const errors: FieldError[] = []
  const names = new Set<string>()
  containers.forEach((c, i) => {
    const at = path.index(i)
    errors.push(...validateCommon(c, ctx, at))
    if (names.has(c.name)) errors.push(duplicate(at.child('name'), c.name))
    names.add(c.name)
    errors.push(...validateProbes(c, ctx, at), ...validateRestart(c, at))
  })
  return [...errors, ...hostPortConflicts(containers, path)]
}

/** An init container that keeps running beside the others. */
export const isSidecar = (c: { restartPolicy?: string | undefined }): boolean => c.restartPolicy === 'Always'

export function validateInitContainers(
  containers: readonly Container[],
  regular: readonly Container[],
  ctx: ContainerContext,
  path: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(regular.map(c => c.name))
  containers.forEach((c, i) => {
    const at = path.index(i)
    errors.push(...validateCommon(c, ctx, at), ...validateRestart(c, at))
    if (names.has(c.name)) errors.push(duplicate(at.child('name'), c.name))
    else if (c.name) names.add(c.name)
    errors.push(...hostPortConflicts([c], path))
    if (isSidecar(c)) errors.push(...validateProbes(c, ctx, at))
    else
      for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
        if (c[name] !== undefined) errors.push(forbidden(at.child(name), 'may not be set for init containers without restartPolicy=Always'))
  })
  return errors
}

const ephemeralForbidden = [
  'ports',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
] as const

export function validateEphemeralContainers(
  ephemeral: readonly EphemeralContainer[],
  regular: readonly Container[],
  init: readonly Container[],
  ctx: ContainerContext,
  path: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const others = new Set([...regular, ...init].map(c => c.name))
  const names = new Set(others)
  ephemeral.forEach((c, i) => {
    const at = path.index(i)
    errors.push(...validateCommon(c, ctx, at), ...validateImageName(c, at))
    if (names.has(c.name)) errors.push(duplicate(at.child('name'), c.name))
    names.add(c.name)
    if (c.targetContainerName && !others.has(c.targetContainerName))
      errors.push(notFound(at.child('targetContainerName'), c.targetContainerName))
    const resources = c.resources && Object.values(c.resources).some(v => v !== undefined)
    for (const name of ephemeralForbidden)
      if (isSet(c[name])) errors.push(forbidden(at.child(name), 'cannot be set for an Ephemeral Container'))
    if (resources) errors.push(forbidden(at.child('resources'), 'cannot be set for an Ephemeral Container'))
    ;(c.volumeMounts ?? []).forEach((m, j) => {
      for (const name of ['subPath', 'subPathExpr'] as const)
        if (m[name]) errors.push(forbidden(at.child('volumeMounts').index(j).child(name), 'cannot be set for an Ephemeral Container'))
    })
  })
  return errors
}

const isSet = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0)
