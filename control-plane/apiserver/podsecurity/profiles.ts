/** Checks of security modules' profiles: AppArmor, SELinux, seccomp. */
import { containersOf, named, plural, quoted, setters, sorted, unlessWindows, type Check, type CheckPod } from './check.ts'

const isGood = (type: string | undefined): boolean => type === 'RuntimeDefault' || type === 'Localhost'

const appArmorPrefix = 'container.apparmor.security.beta.kubernetes.io/'
const goodAppArmor = (value: string): boolean => value === '' || value === 'runtime/default' || value.startsWith('localhost/')

export const appArmorProfile: Check = {
  id: 'appArmorProfile',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: (spec, metadata) => {
        const ofPod = spec.securityContext?.appArmorProfile
        const badPod = ofPod !== undefined && !isGood(ofPod.type)
        const bad = containersOf(spec).filter(c => c.securityContext?.appArmorProfile && !isGood(c.securityContext.appArmorProfile.type))
        const annotations = Object.entries(metadata.annotations ?? {})
          .filter(([key, value]) => key.startsWith(appArmorPrefix) && !goodAppArmor(value))
          .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
          .sort()
        const who = [setters(badPod, bad), annotations.length > 0 ? plural('annotation', annotations.length) : ''].filter(Boolean)
        if (who.length === 0) return undefined
        const types = [...(badPod ? [ofPod.type] : []), ...bad.map(c => c.securityContext!.appArmorProfile!.type)]
        const values = [...sorted(types.map(t => t ?? '')), ...annotations]
        return {
          reason: plural('forbidden AppArmor profile', values.length),
          detail: `${who.join(' and ')} must not set AppArmor profile type to ${quoted(values)}`,
        }
      },
    },
  ],
}

interface SELinuxOptions {
  type?: string | undefined
  user?: string | undefined
  role?: string | undefined
}
const seLinuxTypes = ['', 'container_t', 'container_init_t', 'container_kvm_t']
const seLinux =
  (types: readonly string[]): CheckPod =>
  spec => {
    const isBad = (o: SELinuxOptions | undefined): boolean =>
      o !== undefined && (!types.includes(o.type ?? '') || Boolean(o.user) || Boolean(o.role))
    const bad = containersOf(spec).filter(c => isBad(c.securityContext?.seLinuxOptions))
    const who = setters(isBad(spec.securityContext?.seLinuxOptions), bad)
    if (who === '') return undefined
    const all: SELinuxOptions[] = [spec, ...bad].flatMap(o => o.securityContext?.seLinuxOptions ?? [])
    const badTypes = sorted(all.map(o => o.type ?? '').filter(type => !types.includes(type)))
    const what = [
      ...(badTypes.length > 0 ? [`${plural('type', badTypes.length)} ${quoted(badTypes)}`] : []),
      ...(all.some(o => o.user) ? ['user may not be set'] : []),
      ...(all.some(o => o.role) ? ['role may not be set'] : []),
    ]
    return { reason: 'seLinuxOptions', detail: `${who} set forbidden securityContext.seLinuxOptions: ${what.join('; ')}` }
  }
export const seLinuxOptions: Check = {
  id: 'seLinuxOptions',
  level: 'baseline',
  versions: [
    { from: 0, check: seLinux(seLinuxTypes) },
    { from: 31, check: seLinux([...seLinuxTypes, 'container_engine_t']) },
  ],
}

const seccompOfPod = 'seccomp.security.alpha.kubernetes.io/pod'
const seccompOfContainer = 'container.seccomp.security.alpha.kubernetes.io/'
const goodSeccomp = (value: string): boolean => value === 'runtime/default' || value === 'docker/default' || value.startsWith('localhost/')

const seccompAnnotations: CheckPod = (spec, { annotations = {} }) => {
  const keys = [seccompOfPod, ...containersOf(spec).map(c => `${seccompOfContainer}${c.name}`)]
  const bad = sorted(
    keys.flatMap(key =>
      annotations[key] !== undefined && !goodSeccomp(annotations[key]) ? [`${key}=${JSON.stringify(annotations[key])}`] : [],
    ),
  )
  return bad.length > 0
    ? { reason: 'seccompProfile', detail: `forbidden ${plural('annotation', bad.length)} ${bad.join(', ')}` }
    : undefined
}
/** Profiles that are set must be good ones; `wanted`: and there must be one for each container. */
const seccomp =
  (wanted: boolean): CheckPod =>
  spec => {
    const reason = 'seccompProfile'
    const ofPod = spec.securityContext?.seccompProfile
    const containers = containersOf(spec)
    const badPod = ofPod !== undefined && !isGood(ofPod.type)
    const bad = containers.filter(c => c.securityContext?.seccompProfile && !isGood(c.securityContext.seccompProfile.type))
    const who = setters(badPod, bad)
    if (who !== '') {
      const types = sorted([...(badPod ? [ofPod.type] : []), ...bad.map(c => c.securityContext?.seccompProfile?.type)].map(t => t ?? ''))
      return { reason, detail: `${who} must not set securityContext.seccompProfile.type to ${quoted(types)}` }
    }
    const silent = wanted && !ofPod ? containers.filter(c => !c.securityContext?.seccompProfile) : []
    if (silent.length === 0) return undefined
    return { reason, detail: `pod or ${named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"` }
  }
export const seccompProfileBaseline: Check = {
  id: 'seccompProfile_baseline',
  level: 'baseline',
  versions: [
    { from: 0, check: seccompAnnotations },
    { from: 19, check: seccomp(false) },
  ],
}
export const seccompProfileRestricted: Check = {
  id: 'seccompProfile_restricted',
  level: 'restricted',
  overrides: ['seccompProfile_baseline'],
  versions: [
    { from: 19, check: seccomp(true) },
    { from: 25, check: unlessWindows(seccomp(true)) },
  ],
}
