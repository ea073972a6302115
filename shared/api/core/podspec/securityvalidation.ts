/** Rules of the security settings of pods and containers, and of the pod's operating system, which decides which of them may be set. */
import { duplicate, forbidden, invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../../machinery/field.ts'
import { dns1123Subdomain, localPath, userOrGroupId } from './formats.ts'
import type { PodSpec } from './podspec.ts'
import type {
  AppArmorProfile,
  PodSecurityContext,
  SeccompProfile,
  SecurityContext,
  Sysctl,
  WindowsSecurityContextOptions,
} from './securitycontext.ts'

const procMounts = ['Default', 'Unmasked']

/** `hostUsers` is that of the pod. */
export function validateSecurityContext(sc: SecurityContext | undefined, at: Path, hostUsers: boolean): FieldError[] {
  if (!sc) return []
  const errors = [...userOrGroupId(sc.runAsUser, at.child('runAsUser')), ...userOrGroupId(sc.runAsGroup, at.child('runAsGroup'))]
  if (sc.procMount !== undefined) {
    if (!procMounts.includes(sc.procMount)) errors.push(notSupported(at.child('procMount'), sc.procMount, procMounts))
    if (hostUsers && sc.procMount === 'Unmasked')
      errors.push(invalid(at.child('procMount'), sc.procMount, '`hostUsers` must be false to use `Unmasked`'))
  }
  errors.push(...validateSeccomp(sc.seccompProfile, at.child('seccompProfile')))
  if (sc.allowPrivilegeEscalation === false) {
    if (sc.privileged) errors.push(invalid(at, sc, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'))
    for (const capability of sc.capabilities?.add ?? [])
      if (capability === 'CAP_SYS_ADMIN')
        errors.push(invalid(at, sc, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'))
  }
  return [
    ...errors,
    ...validateWindowsOptions(sc.windowsOptions, at.child('windowsOptions')),
    ...validateAppArmor(sc.appArmorProfile, at.child('appArmorProfile')),
  ]
}

const groupChangePolicies = ['OnRootMismatch', 'Always']
const supplementalPolicies = ['Merge', 'Strict']
const seLinuxPolicies = ['MountOption', 'Recursive']

export function validatePodSecurityContext(spec: PodSpec, at: Path): FieldError[] {
  const sc = spec.securityContext
  const errors: FieldError[] = []
  if (sc) {
    for (const name of ['fsGroup', 'runAsUser', 'runAsGroup'] as const) errors.push(...userOrGroupId(sc[name], at.child(name)))
    ;(sc.supplementalGroups ?? []).forEach((gid, i) => errors.push(...userOrGroupId(gid, at.child('supplementalGroups').index(i))))
  }
  if (spec.shareProcessNamespace && spec.hostPID)
    errors.push(invalid(at.child('shareProcessNamespace'), true, 'ShareProcessNamespace and HostPID cannot both be enabled'))
  if (!sc) return errors
  errors.push(...validateSysctls(sc.sysctls ?? [], spec, at.child('sysctls')))
  const choice = (
    name: keyof PodSecurityContext & ('fsGroupChangePolicy' | 'supplementalGroupsPolicy' | 'seLinuxChangePolicy'),
    values: readonly string[],
  ) => {
    const value = sc[name]
    if (value !== undefined && !values.includes(value)) errors.push(notSupported(at.child(name), value, values))
  }
  choice('fsGroupChangePolicy', groupChangePolicies)
  errors.push(
    ...validateSeccomp(sc.seccompProfile, at.child('seccompProfile')),
    ...validateWindowsOptions(sc.windowsOptions, at.child('windowsOptions')),
    ...validateAppArmor(sc.appArmorProfile, at.child('appArmorProfile')),
  )
  choice('supplementalGroupsPolicy', supplementalPolicies)
  choice('seLinuxChangePolicy', seLinuxPolicies)
  return errors
}

const sysctlSegment = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const sysctlText = `^(${sysctlSegment}[\\./])*${sysctlSegment}$`
const sysctlPattern = new RegExp(sysctlText)
const ipcSysctl = /^(kernel\.(sem|shm.*|msg.*)$|fs\.mqueue\.)/

function validateSysctls(sysctls: readonly Sysctl[], spec: PodSpec, path: Path): FieldError[] {
  const seen = new Set<string>()
  return sysctls.flatMap(({ name = '' }, i) => {
    const at = path.index(i).child('name')
    const errors: FieldError[] = []
    if (!name) errors.push(required(at))
    else if (name.length > 253 || !sysctlPattern.test(name))
      errors.push(invalid(at, name, `must have at most 253 characters and match regex ${sysctlText}`))
    else if (seen.has(name)) errors.push(duplicate(at, name))
    // Both spellings are known to sysctl: net/ipv4/x and net.ipv4.x.
    const dotted = /^[^.]*\//.test(name) ? name.replaceAll('/', '.') : name
    if (spec.hostNetwork && dotted.startsWith('net.')) errors.push(invalid(at, name, "may not be specified when 'hostNetwork' is true"))
    else if (spec.hostIPC && ipcSysctl.test(dotted)) errors.push(invalid(at, name, "may not be specified when 'hostIPC' is true"))
    seen.add(name)
    return errors
  })
}

const profileTypes = ['Localhost', 'RuntimeDefault', 'Unconfined']

function validateSeccomp(p: SeccompProfile | undefined, at: Path): FieldError[] {
  if (!p) return []
  const errors: FieldError[] = []
  if (!p.type) errors.push(required(at.child('type'), 'type is required when seccompProfile is set'))
  else if (!profileTypes.includes(p.type)) errors.push(notSupported(at.child('type'), p.type, profileTypes))
  if (p.type !== 'Localhost') {
    if (p.localhostProfile !== undefined)
      errors.push(invalid(at.child('localhostProfile'), p, 'can only be set when seccomp type is Localhost'))
  } else if (p.localhostProfile === undefined)
    errors.push(required(at.child('localhostProfile'), 'must be set when seccomp type is Localhost'))
  else errors.push(...localPath(p.localhostProfile, at.child('localhostProfile')))
  return errors
}

export function validateAppArmor(p: AppArmorProfile | undefined, path: Path): FieldError[] {
  if (!p) return []
  const at = path.child('localhostProfile')
  if (!p.type) return [required(path.child('type'), 'type is required when appArmorProfile is set')]
  if (!profileTypes.includes(p.type)) return [notSupported(path.child('type'), p.type, profileTypes)]
  const profile = p.localhostProfile
  if (p.type !== 'Localhost') return profile === undefined ? [] : [invalid(at, profile, 'can only be set when AppArmor type is Localhost')]
  const errors: FieldError[] = []
  if (profile !== undefined && profile !== profile.trim()) errors.push(invalid(at, profile, 'must not be padded with whitespace'))
  else if (!profile) errors.push(required(at, 'must be set when AppArmor type is Localhost'))
  if ((profile ?? '').length > 4095) errors.push(tooLong(at, 4095))
  return errors
}

const dnsLabel = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?'
const windowsDomain = new RegExp(`^${dnsLabel}(?:\\.${dnsLabel})*$|^[^\\\\/:*?"<>|.][^\\\\/:*?"<>|]{0,14}$`)

function validateWindowsOptions(o: WindowsSecurityContextOptions | undefined, at: Path): FieldError[] {
  if (!o) return []
  const errors =
    o.gmsaCredentialSpecName === undefined ? [] : dns1123Subdomain(o.gmsaCredentialSpecName, at.child('gmsaCredentialSpecName'))
  const spec = o.gmsaCredentialSpec
  if (spec === '') errors.push(invalid(at.child('gmsaCredentialSpec'), spec, 'gmsaCredentialSpec cannot be an empty string'))
  else if (spec !== undefined && Buffer.byteLength(spec) > 64 * 1024)
    errors.push(invalid(at.child('gmsaCredentialSpec'), spec, 'gmsaCredentialSpec size must be under 64 KiB'))
  const name = o.runAsUserName
  if (name === undefined) return errors
  return [...errors, ...userNameMessages(name).map(m => invalid(at.child('runAsUserName'), name, m))]
}

function userNameMessages(name: string): string[] {
  if (name === '') return ['runAsUserName cannot be an empty string']
  if (/[\x00-\x1f\x7f]/.test(name)) return ['runAsUserName cannot contain control characters']
  const parts = name.split('\\')
  if (parts.length > 2) return ['runAsUserName cannot contain more than one backslash']
  const user = parts[parts.length - 1] ?? ''
  const domain = parts.length === 2 ? parts[0] : undefined
  const errors: string[] = []
  if ((domain ?? '').length >= 256) errors.push("runAsUserName's Domain length must be under 256 characters")
  if (domain !== undefined && !windowsDomain.test(domain))
    errors.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
  if (user === '') errors.push("runAsUserName's User cannot be empty")
  else if (user.length > 104) errors.push("runAsUserName's User length must not be longer than 104 characters")
  if (/^[. ]+$/.test(user)) errors.push("runAsUserName's User cannot contain only periods or spaces")
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) errors.push('runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]')
  return errors
}

/** Every container with its path, in the order init, regular, ephemeral. */
function* containersOf(spec: PodSpec, path: Path): Generator<{ securityContext?: SecurityContext | undefined; at: Path }> {
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    for (const [i, c] of (spec[list] ?? []).entries()) yield { securityContext: c.securityContext, at: path.child(list).index(i) }
}

/** Windows host processes: all containers or none, and on the host's network. */
export function validateHostProcess(spec: PodSpec, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const forPod = spec.securityContext?.windowsOptions?.hostProcess
  let all = 0
  let hosted = 0
  for (const { securityContext, at } of containersOf(spec, path)) {
    all++
    const own = securityContext?.windowsOptions?.hostProcess
    if (forPod !== undefined && own !== undefined && forPod !== own)
      errors.push(
        invalid(
          at.child('securityContext', 'windowsOptions', 'hostProcess'),
          own,
          `pod hostProcess value must be identical if both are specified, was ${forPod}`,
        ),
      )
    if (own ?? forPod) hosted++
  }
  if (hosted === 0) return errors
  if (hosted !== all)
    errors.push(invalid(path, '', 'If pod contains any hostProcess containers then all containers must be HostProcess containers'))
  if (!spec.hostNetwork)
    errors.push(invalid(path.child('hostNetwork'), false, 'hostNetwork must be true if pod contains any hostProcess containers'))
  return errors
}

/** What a pod without the host's users may not share with the host. */
export function validateHostUsers(spec: PodSpec, path: Path): FieldError[] {
  if (spec.hostUsers !== false) return []
  const errors: FieldError[] = []
  const why = 'when `pod.Spec.HostUsers` is false'
  if (spec.hostNetwork) errors.push(forbidden(path.child('hostNetwork'), why))
  if (spec.hostPID) errors.push(forbidden(path.child('HostPID'), why))
  if (spec.hostIPC) errors.push(forbidden(path.child('HostIPC'), why))
  return errors
}

const notForWindowsPod = ['hostUsers', 'hostPID', 'hostIPC', 'shareProcessNamespace'] as const
const notForWindowsPodContext = [
  ...([
    'appArmorProfile',
    'seLinuxOptions',
    'seccompProfile',
    'fsGroup',
    'fsGroupChangePolicy',
    'sysctls',
    'runAsUser',
    'runAsGroup',
  ] as const),
  ...(['supplementalGroups', 'supplementalGroupsPolicy', 'seLinuxChangePolicy'] as const),
]
const notForWindowsContainer = [
  ...(['appArmorProfile', 'seLinuxOptions', 'seccompProfile', 'capabilities', 'readOnlyRootFilesystem', 'privileged'] as const),
  ...(['allowPrivilegeEscalation', 'procMount', 'runAsUser', 'runAsGroup'] as const),
]

/** spec.os, and what a pod of that system may not set. */
export function validateOS(spec: PodSpec, path: Path): FieldError[] {
  if (!spec.os) return []
  const systems = ['linux', 'windows']
  if (!spec.os.name) return [required(path.child('os', 'name'), 'cannot be empty')]
  if (!systems.includes(spec.os.name)) return [notSupported(path.child('os'), spec.os.name, systems)]
  const errors: FieldError[] = []
  if (spec.os.name === 'linux') {
    const why = 'windows options cannot be set for a linux pod'
    if (spec.securityContext?.windowsOptions) errors.push(forbidden(path.child('securityContext', 'windowsOptions'), why))
    for (const { securityContext, at } of containersOf(spec, path))
      if (securityContext?.windowsOptions) errors.push(forbidden(at.child('securityContext', 'windowsOptions'), why))
    return errors
  }
  const why = 'cannot be set for a windows pod'
  for (const name of notForWindowsPod)
    if (spec[name] !== undefined && (spec[name] || name === 'hostUsers' || name === 'shareProcessNamespace'))
      errors.push(forbidden(path.child(name), why))
  for (const name of notForWindowsPodContext)
    if (spec.securityContext?.[name] !== undefined) errors.push(forbidden(path.child('securityContext', name), why))
  for (const { securityContext, at } of containersOf(spec, path))
    for (const name of notForWindowsContainer)
      if (securityContext?.[name] !== undefined) errors.push(forbidden(at.child('securityContext', name), why))
  return errors
}
