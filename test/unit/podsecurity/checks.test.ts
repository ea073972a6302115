/** Every restricted field, in every kind of container, at every version of the standards. */
import { describe, expect, it } from 'vitest'
import { formatViolations, violations, type Level } from '#control-plane/apiserver/podsecurity/policy.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'

const kinds = ['containers', 'initContainers', 'ephemeralContainers'] as const
const versions = Array.from({ length: 36 }, (_, minor) => minor)

/** A pod that violates nothing. */
const restricted = (): PodSpec => {
  const container = (name: string) => ({ name, securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } })
  return {
    containers: [container('c')],
    initContainers: [container('i')],
    ephemeralContainers: [container('e')],
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  } as PodSpec
}
function set(object: object, path: string, value: unknown): void {
  const names = path.split('.')
  const last = names.pop()!
  let at = object as Record<string, any> // any: any part of a pod
  for (const name of names) at = at[name] ??= {}
  at[last] = value
}

interface Field {
  readonly path: string
  readonly level: Exclude<Level, 'privileged'>
  readonly reason: string
  readonly good: readonly unknown[]
  readonly bad: readonly unknown[]
  /** The versions in which bad values are bad. */
  readonly from?: number
  /** What else must be so. */
  readonly also?: Readonly<Record<string, unknown>>
}
const quietly = { type: 'RuntimeDefault' }
const ofContainers: readonly Field[] = [
  { path: 'securityContext.privileged', level: 'baseline', reason: 'privileged', good: [undefined, false], bad: [true] },
  { path: 'securityContext.procMount', level: 'baseline', reason: 'procMount', good: [undefined, 'Default'], bad: ['Unmasked'] },
  {
    path: 'securityContext.capabilities.add',
    level: 'baseline',
    reason: 'non-default capabilities',
    good: [undefined, [], ['CHOWN']],
    bad: [['NET_RAW'], ['CHOWN', 'SYS_ADMIN']],
  },
  {
    path: 'securityContext.capabilities.add',
    level: 'restricted',
    reason: 'unrestricted capabilities',
    good: [[], ['NET_BIND_SERVICE']],
    bad: [['CHOWN'], ['NET_RAW']],
    from: 22,
  },
  {
    path: 'securityContext.capabilities.drop',
    level: 'restricted',
    reason: 'unrestricted capabilities',
    good: [['ALL'], ['X', 'ALL']],
    bad: [undefined, [], ['NET_RAW']],
    from: 22,
  },
  {
    path: 'securityContext.allowPrivilegeEscalation',
    level: 'restricted',
    reason: 'allowPrivilegeEscalation != false',
    good: [false],
    bad: [undefined, true],
    from: 8,
  },
  { path: 'securityContext.runAsNonRoot', level: 'restricted', reason: 'runAsNonRoot != true', good: [undefined, true], bad: [false] },
  { path: 'securityContext.runAsUser', level: 'restricted', reason: 'runAsUser=0', good: [undefined, 1], bad: [0], from: 23 },
  {
    path: 'securityContext.seccompProfile',
    level: 'baseline',
    reason: 'seccompProfile',
    good: [undefined, quietly, { type: 'Localhost' }],
    bad: [{ type: 'Unconfined' }],
    from: 19,
  },
  {
    path: 'securityContext.appArmorProfile',
    level: 'baseline',
    reason: 'forbidden AppArmor profile',
    good: [undefined, quietly, { type: 'Localhost' }],
    bad: [{ type: 'Unconfined' }],
  },
  {
    path: 'securityContext.seLinuxOptions',
    level: 'baseline',
    reason: 'seLinuxOptions',
    good: [undefined, {}, { type: 'container_t', level: 'x' }],
    bad: [{ type: 'other_t' }, { user: 'u' }, { role: 'r' }],
  },
  { path: 'securityContext.windowsOptions.hostProcess', level: 'baseline', reason: 'hostProcess', good: [undefined, false], bad: [true] },
  {
    path: 'ports',
    level: 'baseline',
    reason: 'hostPort',
    good: [undefined, [{ containerPort: 1 }], [{ containerPort: 1, hostPort: 0 }]],
    bad: [[{ containerPort: 1, hostPort: 1 }]],
  },
  ...['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle.postStart', 'lifecycle.preStop'].flatMap(probe =>
    ['httpGet', 'tcpSocket'].map((handler): Field => ({
      path: `${probe}.${handler}`,
      level: 'baseline',
      reason: 'probe or lifecycle host',
      good: [undefined, { port: 1 }, { port: 1, host: '' }],
      bad: [{ port: 1, host: 'other' }],
      from: 34,
    })),
  ),
]
const ofPods: readonly Field[] = [
  ...['hostNetwork', 'hostPID', 'hostIPC'].map((path): Field => ({
    path,
    level: 'baseline',
    reason: 'host namespaces',
    good: [undefined, false],
    bad: [true],
  })),
  { path: 'securityContext.runAsNonRoot', level: 'restricted', reason: 'runAsNonRoot != true', good: [true], bad: [undefined, false] },
  { path: 'securityContext.runAsUser', level: 'restricted', reason: 'runAsUser=0', good: [undefined, 1], bad: [0], from: 23 },
  {
    path: 'securityContext.seccompProfile',
    level: 'restricted',
    reason: 'seccompProfile',
    good: [quietly, { type: 'Localhost' }],
    bad: [undefined, { type: 'Unconfined' }],
    from: 19,
  },
  {
    path: 'securityContext.seccompProfile',
    level: 'baseline',
    reason: 'seccompProfile',
    good: [undefined, quietly],
    bad: [{ type: 'Unconfined' }],
    from: 19,
  },
  {
    path: 'securityContext.appArmorProfile',
    level: 'baseline',
    reason: 'forbidden AppArmor profile',
    good: [undefined, quietly],
    bad: [{ type: 'Unconfined' }],
  },
  {
    path: 'securityContext.seLinuxOptions',
    level: 'baseline',
    reason: 'seLinuxOptions',
    good: [undefined, { type: 'container_kvm_t' }],
    bad: [{ type: 'spc_t' }, { user: 'u' }],
  },
  { path: 'securityContext.windowsOptions.hostProcess', level: 'baseline', reason: 'hostProcess', good: [undefined, false], bad: [true] },
  {
    path: 'securityContext.sysctls',
    level: 'baseline',
    reason: 'forbidden sysctls',
    good: [undefined, [{ name: 'kernel.shm_rmid_forced', value: '1' }]],
    bad: [[{ name: 'kernel.msgmax', value: '1' }]],
  },
  {
    path: 'volumes',
    level: 'baseline',
    reason: 'hostPath volumes',
    good: [undefined, [{ name: 'v', nfs: {} }]],
    bad: [[{ name: 'v', hostPath: { path: '/' } }]],
  },
  ...[
    'gcePersistentDisk',
    'awsElasticBlockStore',
    'gitRepo',
    'nfs',
    'iscsi',
    'glusterfs',
    'rbd',
    'flexVolume',
    'cinder',
    'cephfs',
    'flocker',
    'fc',
    'azureFile',
    'vsphereVolume',
    'quobyte',
    'azureDisk',
    'portworxVolume',
    'photonPersistentDisk',
    'scaleIO',
    'storageos',
    'hostPath',
  ].map((type): Field => ({
    path: 'volumes',
    level: 'restricted',
    reason: 'restricted volume types',
    good: ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image', 'persistentVolumeClaim', 'projected', 'secret'].map(g => [
      { name: 'v', [g]: {} },
    ]),
    bad: [[{ name: 'v', [type]: {} }]],
  })),
]

const reasons = (level: Level, version: number, spec: PodSpec): string[] => violations({ level, version }, spec, {}).map(v => v.reason)

function check({ path, level, reason, good, bad, from = 0 }: Field, change: (spec: PodSpec, path: string, value: unknown) => void): void {
  for (const version of versions) {
    const with_ = (value: unknown): string[] => {
      const spec = restricted()
      change(spec, path, value)
      return reasons(level, version, spec)
    }
    for (const value of good) expect(with_(value), `${path} ${JSON.stringify(value)} at v1.${version}`).toEqual([])
    for (const value of bad)
      expect(with_(value).includes(reason), `${path} ${JSON.stringify(value)} at v1.${version}`).toBe(version >= from)
  }
}

it('a pod that takes nothing is restricted', () => {
  for (const version of versions) expect(reasons('restricted', version, restricted())).toEqual([])
  expect(reasons('privileged', 35, { hostNetwork: true, containers: [] } as unknown as PodSpec)).toEqual([])
})
describe.each(kinds)('%s', kind => {
  it.each(ofContainers.map(f => [`${f.level} ${f.path}`, f] as const))('%s', (_, field) =>
    check(field, (spec, path, value) => set(spec[kind]![0]!, path, value)),
  )
})
it.each(ofPods.map(f => [`${f.level} ${f.path} ${JSON.stringify(f.bad)}`, f] as const))('pod %s', (_, field) => check(field, set))

describe('what changed with a version', () => {
  const at = (version: number, level: Level, change: Record<string, unknown>): string[] => {
    const spec = restricted()
    for (const [path, value] of Object.entries(change)) set(spec, path, value)
    return reasons(level, version, spec)
  }
  const sysctl = (name: string) => ({ 'securityContext.sysctls': [{ name, value: '1' }] })
  it.each([
    ['net.ipv4.ip_local_reserved_ports', 27],
    ['net.ipv4.tcp_keepalive_time', 29],
    ['net.ipv4.tcp_rmem', 32],
    ['net.ipv4.tcp_slow_start_after_idle', 99],
  ])('%s is safe since v1.%i', (name, since) => {
    for (const v of versions) expect(at(v, 'baseline', sysctl(name)).length).toBe(v >= since ? 0 : 1)
  })
  it('container_engine_t is allowed since v1.31', () => {
    for (const v of versions)
      expect(at(v, 'baseline', { 'securityContext.seLinuxOptions': { type: 'container_engine_t' } }).length).toBe(v >= 31 ? 0 : 1)
  })
  it('in a user namespace root is not that of the node, since v1.35', () => {
    const own = {
      hostUsers: false,
      'securityContext.runAsNonRoot': false,
      'securityContext.runAsUser': 0,
      'containers.0.securityContext.procMount': 'Unmasked',
    }
    expect(at(34, 'restricted', own)).toEqual(['procMount', 'runAsNonRoot != true', 'runAsUser=0'])
    expect(at(35, 'restricted', own)).toEqual(['procMount'])
    expect(at(35, 'baseline', own)).toEqual([])
  })
  it('Windows pods need not set what they cannot, since v1.25', () => {
    const spec = { os: { name: 'windows' }, securityContext: { runAsNonRoot: true }, containers: [{ name: 'c' }] } as PodSpec
    expect(reasons('restricted', 24, spec)).toEqual(['allowPrivilegeEscalation != false', 'unrestricted capabilities', 'seccompProfile'])
    expect(reasons('restricted', 25, spec)).toEqual([])
  })
  it('annotations said what fields say, before v1.19; those of AppArmor still do', () => {
    const annotations = {
      'seccomp.security.alpha.kubernetes.io/pod': 'unconfined',
      'container.apparmor.security.beta.kubernetes.io/c': 'unconfined',
    }
    const told = (version: number) => formatViolations(violations({ level: 'baseline', version }, restricted(), { annotations }))
    const appArmor =
      'forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/c="unconfined"")'
    expect(told(18)).toBe(`${appArmor}, seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")`)
    expect(told(19)).toBe(appArmor)
  })
  it('versions to come are the newest', () => {
    const spec = { containers: [{ name: 'c', livenessProbe: { httpGet: { port: 1, host: 'x' } } }] } as PodSpec
    expect(reasons('baseline', 99, spec)).toEqual(reasons('baseline', 35, spec))
    expect(violations({ level: 'baseline', version: 'latest' }, spec, {})).toHaveLength(1)
  })
})

it('violations are told as upstream tells them', () => {
  const spec = {
    hostNetwork: true,
    hostPID: true,
    securityContext: { seLinuxOptions: { type: 'x_t', user: 'u' }, runAsUser: 0 },
    volumes: [
      { name: 'v', hostPath: { path: '/' } },
      { name: 'w', nfs: { server: 's', path: '/' } },
    ],
    containers: [
      {
        name: 'a',
        ports: [
          { containerPort: 80, hostPort: 8080 },
          { containerPort: 81, hostPort: 81 },
        ],
        securityContext: { privileged: true, capabilities: { add: ['NET_RAW', 'CHOWN'] } },
      },
      { name: 'b', securityContext: { runAsUser: 0, seccompProfile: { type: 'Unconfined' } } },
    ],
  } as PodSpec
  const told = (level: Level) => formatViolations(violations({ level, version: 'latest' }, spec, {}))
  expect(told('baseline')).toBe(
    [
      'non-default capabilities (container "a" must not include "NET_RAW" in securityContext.capabilities.add)',
      'host namespaces (hostNetwork=true, hostPID=true)',
      'hostPath volumes (volume "v")',
      'hostPort (container "a" uses hostPorts 8080, 81)',
      'privileged (container "a" must not set securityContext.privileged=true)',
      'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x_t"; user may not be set)',
      'seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")',
    ].join(', '),
  )
  expect(told('restricted')).toBe(
    [
      'host namespaces (hostNetwork=true, hostPID=true)',
      'hostPort (container "a" uses hostPorts 8080, 81)',
      'privileged (container "a" must not set securityContext.privileged=true)',
      'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x_t"; user may not be set)',
      'allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false)',
      'unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN", "NET_RAW" in securityContext.capabilities.add)',
      'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
      'runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true)',
      'runAsUser=0 (pod and container "b" must not set runAsUser=0)',
      'seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")',
    ].join(', '),
  )
})
