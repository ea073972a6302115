/** Linux capabilities of containers: Docker's default set, changed by a security context. */
import { readFileSync } from 'node:fs'

/** In the order of their numbers (linux/capability.h). */
const ALL = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER ' +
  'SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP ' +
  'MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map(name => `CAP_${name}`)

const DEFAULT = 'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
  .split(' ')
  .map(name => `CAP_${name}`)

/** What this process may hand on: names in its bounding set. */
export function availableCapabilities(): Set<string> {
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
  return new Set(ALL.filter((_, bit) => (mask >> BigInt(bit)) & 1n))
}

/**
 * A container's capabilities: `ALL` in `add` or `drop` first, then names, as the container runtimes of Kubernetes do. Names come with or
 * without `CAP_`. What the machine does not let us have is left out; a name that does not exist throws.
 */
export function containerCapabilities(
  change: { add: string[]; drop: string[] },
  privileged: boolean,
  available: ReadonlySet<string>,
): string[] {
  const named = (names: string[]): string[] =>
    names
      .filter(name => name.toUpperCase() !== 'ALL')
      .map(name => {
        const full = `CAP_${name.toUpperCase().replace(/^CAP_/, '')}`
        if (!ALL.includes(full)) throw new Error(`unknown capability "${full}"`)
        return full
      })
  const all = (names: string[]): boolean => names.some(name => name.toUpperCase() === 'ALL')
  const set = new Set(privileged || all(change.add) ? ALL : DEFAULT)
  if (!privileged) {
    if (all(change.drop)) set.clear()
    for (const name of named(change.add)) set.add(name)
    for (const name of named(change.drop)) set.delete(name)
  }
  return ALL.filter(name => set.has(name) && available.has(name))
}
