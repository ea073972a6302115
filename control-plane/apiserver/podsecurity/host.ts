/** Checks of what pods share with their node. */
import type { Check, Container } from './check.ts'
import { containersOf, named, plural, quoted, setters, sorted } from './check.ts'

export const hostNamespaces: Check = {
  id: 'hostNamespaces',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const shared = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter(name => spec[name])
        return shared.length > 0 ? { reason: 'host namespaces', detail: shared.map(name => `${name}=true`).join(', ') } : undefined
      },
    },
  ],
}

export const hostPorts: Check = {
  id: 'hostPorts',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const ports = (c: Container): number[] => (c.ports ?? []).map(p => p.hostPort ?? 0).filter(p => p !== 0)
        const bad = containersOf(spec).filter(c => ports(c).length > 0)
        if (bad.length === 0) return undefined
        const numbers = sorted(bad.flatMap(ports).map(String))
        const uses = plural('uses', bad.length, 'use')
        return { reason: 'hostPort', detail: `${named(bad)} ${uses} ${plural('hostPort', numbers.length)} ${numbers.join(', ')}` }
      },
    },
  ],
}

interface Handler {
  httpGet?: { host?: string | undefined } | undefined
  tcpSocket?: { host?: string | undefined } | undefined
}
const hostsOf = (c: Container): string[] =>
  [c.livenessProbe, c.readinessProbe, c.startupProbe, c.lifecycle?.postStart, c.lifecycle?.preStop]
    .flatMap((h: Handler | undefined) => [h?.httpGet?.host, h?.tcpSocket?.host])
    .filter((host): host is string => Boolean(host))

export const hostProbesAndHostLifecycle: Check = {
  id: 'hostProbesAndHostLifecycle',
  level: 'baseline',
  versions: [
    {
      from: 34,
      check: spec => {
        const bad = sorted(
          containersOf(spec)
            .filter(c => hostsOf(c).length > 0)
            .map(c => c.name),
        )
        if (bad.length === 0) return undefined
        const hosts = sorted(containersOf(spec).flatMap(hostsOf))
        const what = `${plural('probe or lifecycle host', hosts.length)} ${quoted(hosts)}`
        const detail = `${plural('container', bad.length)} ${quoted(bad)} ${plural('uses', bad.length, 'use')} ${what}`
        return { reason: 'probe or lifecycle host', detail }
      },
    },
  ],
}

export const windowsHostProcess: Check = {
  id: 'windowsHostProcess',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const bad = containersOf(spec).filter(c => c.securityContext?.windowsOptions?.hostProcess)
        const who = setters(spec.securityContext?.windowsOptions?.hostProcess === true, bad)
        return who === ''
          ? undefined
          : { reason: 'hostProcess', detail: `${who} must not set securityContext.windowsOptions.hostProcess=true` }
      },
    },
  ],
}
