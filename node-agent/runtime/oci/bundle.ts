/** The OCI configuration of a container: what `runc` reads as config.json. */
import { constants, readdirSync, statSync, type Stats } from 'node:fs'
import type { ContainerMount, ContainerSpec, DeviceNode, Hook } from '../runtime.ts'
import { containerCapabilities } from './capabilities.ts'
import { ownCgroup } from './cgroups.ts'
import type { ContainerRoot } from './rootfs.ts'
import type { Seccomp } from './seccomp.ts'
import type { ResolvedUser } from './users.ts'

/** What the machine and the node give to every container. */
export interface Host {
  capabilities: ReadonlySet<string>
  /** Our own oom_score_adj when the kernel refuses a lower one (no CAP_SYS_RESOURCE); undefined when anything goes. */
  oomScoreFloor: number | undefined
  cgroup2: boolean
  /**
   * Whether every device of the machine is ours to hand on. On version 1 a group's list may not have what its parent's has not, so a node
   * in a container may be refused.
   */
  allDevices: boolean
  /** Absolute cgroup path of the node. */
  cgroupRoot: string
}

const MASKED = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The outer cgroup of a container, absolute below the cgroup root. */
export const cgroupPath = (spec: Pick<ContainerSpec, 'cgroup'>, host: Pick<Host, 'cgroupRoot'>): string =>
  `${host.cgroupRoot}/${spec.cgroup}`

/**
 * Builds config.json; `root` is the mounted root, with the trees that are to be mounted in it. Throws for what cannot be (an unknown
 * capability).
 */
export function bundleConfig(
  spec: ContainerSpec,
  root: { path: string } & Pick<ContainerRoot, 'trees' | 'volumes'>,
  user: ResolvedUser,
  host: Host,
  seccomp?: Seccomp,
): object {
  const capabilities = containerCapabilities(spec.capabilities, spec.privileged, host.capabilities)
  const env = spec.env.some(e => e.startsWith('PATH=')) ? spec.env : [DEFAULT_PATH, ...spec.env]
  const shared = spec.mounts.some(m => m.propagation === 'rshared')
  const open = spec.privileged || spec.unmaskedProc
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: spec.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      args: spec.args,
      env: [...(spec.tty && !env.some(e => e.startsWith('TERM=')) ? ['TERM=xterm'] : []), `HOSTNAME=${spec.hostname}`, ...env],
      cwd: spec.workingDir || '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: !spec.allowPrivilegeEscalation && !spec.privileged,
      ...(spec.appArmorProfile && !spec.privileged ? { apparmorProfile: spec.appArmorProfile } : {}),
      ...(spec.oomScoreAdj === undefined ? {} : { oomScoreAdj: Math.max(spec.oomScoreAdj, host.oomScoreFloor ?? -1000) }),
    },
    root: { path: root.path, readonly: spec.readOnlyRootFilesystem },
    ...(spec.utsNamespace === undefined ? { hostname: spec.hostname } : {}),
    ...(spec.annotations ? { annotations: spec.annotations } : {}),
    ...(spec.hooks ? { hooks: hooksOf(spec.hooks) } : {}),
    mounts: [
      // Their files belong to nobody in a user namespace: there they are mounted before.
      ...(spec.userNamespace ? [] : root.trees.map(treeMount)),
      ...systemMounts(spec),
      ...(spec.userNamespace ? [] : root.volumes.filter(v => !spec.mounts.some(m => m.destination === v.destination)).map(treeMount)),
      ...inOrder([...(spec.image.mounts ?? []), ...spec.mounts]).map(volumeMount),
    ],
    linux: {
      namespaces: [
        { type: 'mount' },
        ...(spec.utsNamespace === 'node' ? [] : [{ type: 'uts', ...(spec.utsNamespace === undefined ? {} : { path: spec.utsNamespace }) }]),
        ...(spec.hostPID
          ? []
          : [{ type: 'pid', ...(spec.pidNamespaceOf === undefined ? {} : { path: `/proc/${spec.pidNamespaceOf}/ns/pid` }) }]),
        ...(spec.hostIPC ? [] : [{ type: 'ipc', ...(spec.ipcNamespace === undefined ? {} : { path: spec.ipcNamespace }) }]),
        ...(spec.userNamespace ? [{ type: 'user', path: spec.userNamespace.path }] : []),
        ...(spec.networkNamespace === 'node' ? [] : [{ type: 'network', path: spec.networkNamespace }]),
        ...(host.cgroup2 && !spec.privileged ? [{ type: 'cgroup' }] : []),
      ],
      ...(spec.userNamespace ? idMappings(spec.userNamespace) : {}),
      cgroupsPath: ownCgroup(cgroupPath(spec, host)),
      resources: resources(spec, host),
      ...(spec.privileged ? { devices: hostDevices() } : spec.devices ? { devices: spec.devices.map(namedDevice) } : {}),
      ...(seccomp ? { seccomp } : {}),
      sysctl: sysctls(spec),
      rootfsPropagation: shared ? 'rshared' : 'rslave',
      maskedPaths: open ? [] : MASKED,
      // The runtime makes places of mounts first, then these: as it does with the root itself.
      // On version 1 the trees of control groups are mounted in a directory that the runtime leaves writable.
      readonlyPaths: [
        ...(open ? [] : READ_ONLY),
        ...(open || host.cgroup2 ? [] : ['/sys/fs/cgroup']),
        ...(spec.readOnlyRootFilesystem ? root.trees.map(tree => tree.destination) : []),
      ],
    },
  }
}

function idMappings({ first, size }: NonNullable<ContainerSpec['userNamespace']>): object {
  const mappings = [{ containerID: 0, hostID: first, size }]
  return { uidMappings: mappings, gidMappings: mappings }
}

const treeMount = ({ destination, options }: ContainerRoot['trees'][number]): object => ({
  destination,
  type: 'overlay',
  source: 'overlay',
  options,
})

function systemMounts(spec: ContainerSpec): object[] {
  const access = spec.privileged ? 'rw' : 'ro'
  const mounts = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'relatime', access] },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
  ]
  // A volume of the pod at one of these places takes its place.
  return mounts.filter(m => !spec.mounts.some(v => v.destination === m.destination))
}

// A mount must come after what it lies in.
const inOrder = (mounts: ContainerMount[]): ContainerMount[] =>
  [...mounts].sort((a, b) => a.destination.split('/').length - b.destination.split('/').length)

function volumeMount(mount: ContainerMount): object {
  const access = mount.recursiveReadOnly ? 'rro' : mount.readOnly ? 'ro' : 'rw'
  if (mount.source !== undefined)
    return {
      destination: mount.destination,
      type: 'bind',
      source: mount.source,
      options: [
        'rbind',
        mount.propagation === 'private' ? 'rprivate' : mount.propagation,
        access,
        // The runtime mounts it once more for its options, which are all that counts then.
        ...(mount.noExec ? ['nosuid', 'nodev', 'noexec'] : []),
      ],
    }
  const size = mount.tmpfsBytes === undefined ? [] : [`size=${mount.tmpfsBytes}`]
  return { destination: mount.destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', access, ...size] }
}

function resources(spec: ContainerSpec, host: Pick<Host, 'allDevices' | 'cgroup2'>): object {
  const { memoryBytes, cpuShares, cpuQuotaMicros, pids } = spec.resources
  const cpu = {
    ...(cpuShares === undefined ? {} : { shares: cpuShares }),
    ...(cpuQuotaMicros === undefined ? {} : { quota: cpuQuotaMicros, period: 100_000 }),
  }
  const allow = ({ type, major, minor }: HostDevice, access: string): object => ({ allow: true, type, major, minor, access })
  return {
    devices: [
      { allow: spec.privileged && host.allDevices, access: 'rwm' },
      ...(spec.privileged && !host.allDevices ? hostDevices().map(device => allow(device, 'rwm')) : []),
      ...(spec.privileged ? [] : (spec.devices ?? []).map(device => allow(namedDevice(device), device.permissions))),
    ],
    ...(memoryBytes === undefined ? {} : { memory: { limit: memoryBytes } }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
    // A container that has lost one of its processes is no better than one that has lost all.
    ...(host.cgroup2 ? { unified: { 'memory.oom.group': '1' } } : {}),
  }
}

/** Those of the pod's network namespace are set when it is made; the rest belongs to the container's own namespaces. */
function sysctls(spec: ContainerSpec): Record<string, string> {
  return Object.fromEntries(Object.entries(spec.sysctls).filter(([name]) => !name.startsWith('net.')))
}

interface HostDevice {
  path: string
  type: 'b' | 'c'
  major: number
  minor: number
  fileMode: number
  uid: number
  gid: number
}

/** A device file as it stands in the container. Throws when the node has none at its path, nor is it said what it is. */
function namedDevice({ hostPath, containerPath, permissions: _, type, major, minor, ...given }: DeviceNode): HostDevice {
  const own = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  if (type !== undefined && major !== undefined && minor !== undefined)
    return { path: containerPath, type, major, minor, fileMode: 0o666, uid: 0, gid: 0, ...own }
  const stats = statSync(hostPath, { throwIfNoEntry: false })
  if (!stats?.isCharacterDevice() && !stats?.isBlockDevice()) throw new Error(`${hostPath} is not a device of the node`)
  return { ...deviceOf(containerPath, stats), ...own }
}

/** Hooks by their point, as config.json has them. */
function hooksOf(hooks: readonly Hook[]): { [point: string]: object[] } {
  const points: { [point: string]: object[] } = {}
  for (const { hookName, ...hook } of hooks) (points[hookName] ??= []).push(hook)
  return points
}

function deviceOf(path: string, { rdev, mode, uid, gid }: Stats): HostDevice {
  // As glibc's makedev splits a device number.
  const major = ((rdev >> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff)
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00)
  return { path, type: (mode & constants.S_IFMT) === constants.S_IFBLK ? 'b' : 'c', major, minor, fileMode: mode & 0o777, uid, gid }
}

/** The node's device files, which a privileged container gets. */
function hostDevices(): HostDevice[] {
  const found: HostDevice[] = []
  const visit = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = `${directory}/${entry.name}`
      if (entry.isDirectory() && !['pts', 'shm', 'mqueue', 'fd'].includes(entry.name)) visit(path)
      if (!entry.isCharacterDevice() && !entry.isBlockDevice()) continue
      if (['/dev/console', '/dev/ptmx'].includes(path)) continue
      found.push(deviceOf(path, statSync(path)))
    }
  }
  visit('/dev')
  return found
}
