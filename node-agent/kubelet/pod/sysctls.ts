/**
 * Which sysctls a pod may set: safe ones, and those that the node's administrator allows.
 * https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
 */
import type { Pod } from '#shared/api/core/pod.ts'

/** Without harm to others: each pod has its own in the kernel. */
const safe = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]

/** The kernel namespace that a sysctl belongs to; undefined: the whole machine has it. Of a pattern, its prefix counts. */
function namespaceOf(name: string): 'ipc' | 'net' | undefined {
  if (name === 'kernel.sem' || /^(kernel\.(shm|msg)|fs\.mqueue\.)/.test(name)) return 'ipc'
  return name.startsWith('net.') ? 'net' : undefined
}

/** `net/ipv4/x` and `net.ipv4.x` are the same; the first separator tells which the other one is. */
export const dottedSysctl = (name: string): string => (/^[^.]*\//.test(name) ? name.replace(/[./]/g, c => (c === '.' ? '/' : '.')) : name)

const pattern = /^([a-z0-9][-_a-z0-9]*[./])*([a-z0-9][-_a-z0-9]*)?\*?$/

/** What is wrong with an entry of `--allowed-unsafe-sysctls`, a name or a prefix with `*`; undefined: nothing. */
export function sysctlPatternError(text: string): string | undefined {
  if (text === '' || text.length > 253 || !pattern.test(text)) return `sysctl ${JSON.stringify(text)} is no name of a sysctl`
  const prefix = text.endsWith('*')
  const name = dottedSysctl(prefix ? text.slice(0, -1) : text)
  return namespaceOf(name) ? undefined : `the sysctl${prefix ? 's' : ''} ${JSON.stringify(text)} are not known to be namespaced`
}

/** Why a pod may not run with its sysctls, in upstream's words. `allowed` are names and prefixes beside the safe ones. */
export function forbiddenSysctl({ spec }: Pod, allowed: readonly string[] = []): string | undefined {
  const patterns = [...safe, ...allowed.map(dottedSysctl)]
  for (const sysctl of spec.securityContext?.sysctls ?? []) {
    const name = dottedSysctl(sysctl.name)
    const of = JSON.stringify(name)
    if (!patterns.some(p => (p.endsWith('*') ? name.startsWith(p.slice(0, -1)) : name === p)))
      return `forbidden sysctl: ${of} not allowlisted`
    const namespace = namespaceOf(name)
    if ((namespace === 'net' && spec.hostNetwork) || (namespace === 'ipc' && spec.hostIPC))
      return `forbidden sysctl: ${of} not allowed with host ${namespace} enabled`
  }
  return undefined
}
