/** The check of kernel parameters: only those that concern nobody but the pod. */
import type { Check, CheckPod } from './check.ts'

const from0 = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
]
const from27 = [...from0, 'net.ipv4.ip_local_reserved_ports']
const from29 = [
  ...from27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
]
const from32 = [...from29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']

const only =
  (allowed: readonly string[]): CheckPod =>
  spec => {
    const bad = (spec.securityContext?.sysctls ?? []).map(s => s.name).filter(name => !allowed.includes(name))
    return bad.length > 0 ? { reason: 'forbidden sysctls', detail: bad.join(', ') } : undefined
  }

export const sysctls: Check = {
  id: 'sysctls',
  level: 'baseline',
  versions: [
    { from: 0, check: only(from0) },
    { from: 27, check: only(from27) },
    { from: 29, check: only(from29) },
    { from: 32, check: only(from32) },
  ],
}
