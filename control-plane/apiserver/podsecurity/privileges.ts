/** Checks of what containers may do beyond others. */
import { containersOf, named, quoted, sorted, unlessUserNamespace, unlessWindows, type Check, type CheckPod } from './check.ts'

export const privileged: Check = {
  id: 'privileged',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const bad = containersOf(spec).filter(c => c.securityContext?.privileged)
        return bad.length > 0 ? { reason: 'privileged', detail: `${named(bad)} must not set securityContext.privileged=true` } : undefined
      },
    },
  ],
}

const noPrivilegeEscalation: CheckPod = spec => {
  const bad = containersOf(spec).filter(c => c.securityContext?.allowPrivilegeEscalation !== false)
  if (bad.length === 0) return undefined
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  }
}
export const allowPrivilegeEscalation: Check = {
  id: 'allowPrivilegeEscalation',
  level: 'restricted',
  versions: [
    { from: 8, check: noPrivilegeEscalation },
    { from: 25, check: unlessWindows(noPrivilegeEscalation) },
  ],
}

const defaultCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
])
/** `containers "a" must not include "X" in securityContext.capabilities.add`; undefined when none adds what it may not. */
function added(containers: ReturnType<typeof containersOf>, may: (capability: string) => boolean): string | undefined {
  const bad = containers.filter(c => c.securityContext?.capabilities?.add?.some(name => !may(name)))
  if (bad.length === 0) return undefined
  const names = sorted(bad.flatMap(c => c.securityContext?.capabilities?.add ?? []).filter(name => !may(name)))
  return `${named(bad)} must not include ${quoted(names)} in securityContext.capabilities.add`
}
export const capabilitiesBaseline: Check = {
  id: 'capabilities_baseline',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const detail = added(containersOf(spec), name => defaultCapabilities.has(name))
        return detail === undefined ? undefined : { reason: 'non-default capabilities', detail }
      },
    },
  ],
}

const noCapabilities: CheckPod = spec => {
  const containers = containersOf(spec)
  const keeping = containers.filter(c => !c.securityContext?.capabilities?.drop?.includes('ALL'))
  const details = [
    keeping.length > 0 ? `${named(keeping)} must set securityContext.capabilities.drop=["ALL"]` : undefined,
    added(containers, name => name === 'NET_BIND_SERVICE'),
  ].filter(d => d !== undefined)
  return details.length > 0 ? { reason: 'unrestricted capabilities', detail: details.join('; ') } : undefined
}
export const capabilitiesRestricted: Check = {
  id: 'capabilities_restricted',
  level: 'restricted',
  overrides: ['capabilities_baseline'],
  versions: [
    { from: 22, check: noCapabilities },
    { from: 25, check: unlessWindows(noCapabilities) },
  ],
}

const defaultProcMount: CheckPod = spec => {
  const bad = containersOf(spec).filter(c => (c.securityContext?.procMount ?? 'Default') !== 'Default')
  if (bad.length === 0) return undefined
  const types = sorted(bad.map(c => c.securityContext?.procMount ?? ''))
  return { reason: 'procMount', detail: `${named(bad)} must not set securityContext.procMount to ${quoted(types)}` }
}
export const procMount: Check = {
  id: 'procMount',
  level: 'baseline',
  versions: [
    { from: 0, check: defaultProcMount },
    { from: 35, check: unlessUserNamespace(defaultProcMount) },
  ],
}
export const procMountRestricted: Check = {
  id: 'procMount_restricted',
  level: 'restricted',
  overrides: ['procMount'],
  versions: [{ from: 35, check: defaultProcMount }],
}
