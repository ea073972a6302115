import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { bundleConfig } from '#node-agent/runtime/oci/bundle.ts'
import { containerCapabilities } from '#node-agent/runtime/oci/capabilities.ts'
import { defaultProfile } from '#node-agent/runtime/oci/seccomp.ts'
import { unsupportedFields } from '#node-agent/runtime/oci/unsupported.ts'
import { resolveUser } from '#node-agent/runtime/oci/users.ts'
import { containerSpec } from '../../integration/runtime/containers.ts'

describe('users', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:/bin/false\n'
  const group = 'root:x:0:\nwww:x:34:\nextra:x:50:www,other\nadm:x:51:other\n'
  const none = { supplementalGroups: [] }
  test.each([
    [none, '', { uid: 0, gid: 0, additionalGids: [0] }],
    [none, 'www', { uid: 33, gid: 34, additionalGids: [34, 50] }],
    [none, '33', { uid: 33, gid: 34, additionalGids: [34, 50] }],
    [none, 'www:adm', { uid: 33, gid: 34, additionalGids: [34, 50] }],
    [none, '1234', { uid: 1234, gid: 0, additionalGids: [0] }],
    [none, '1234:77', { uid: 1234, gid: 0, additionalGids: [0] }],
    [{ gid: 5, supplementalGroups: [] }, '1234', { uid: 1234, gid: 5, additionalGids: [5] }],
    [{ uid: 33, supplementalGroups: [9, 34] }, 'root', { uid: 33, gid: 34, additionalGids: [34, 50, 9] }],
    [{ supplementalGroups: [9], supplementalGroupsPolicy: 'Strict' as const }, 'www', { uid: 33, gid: 34, additionalGids: [34, 9] }],
    [{ uid: 7, gid: 8, supplementalGroups: [8, 9] }, 'root', { uid: 7, gid: 8, additionalGids: [8, 9] }],
  ])('%j over image user %j', (wanted, image, expected) => expect(resolveUser(wanted, image, passwd, group)).toEqual(expected))
  test('a name that is not there', () => {
    expect(() => resolveUser(none, 'nobody', passwd, group)).toThrow('unable to find user nobody: no matching entries in passwd file')
  })
})

describe('capabilities', () => {
  const available = new Set(['CAP_CHOWN', 'CAP_NET_RAW', 'CAP_NET_ADMIN', 'CAP_KILL'])
  const of = (add: string[], drop: string[], privileged = false) => containerCapabilities({ add, drop }, privileged, available)
  test('defaults, changes, ALL', () => {
    expect(of([], [])).toEqual(['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW'])
    expect(of(['NET_ADMIN'], ['CAP_KILL'])).toEqual(['CAP_CHOWN', 'CAP_NET_ADMIN', 'CAP_NET_RAW'])
    expect(of(['net_admin'], ['ALL'])).toEqual(['CAP_NET_ADMIN'])
    expect(of(['ALL'], ['CHOWN'])).toEqual(['CAP_KILL', 'CAP_NET_ADMIN', 'CAP_NET_RAW'])
    expect(of([], ['ALL'], true)).toHaveLength(4)
    expect(() => of(['FLY'], [])).toThrow('unknown capability "CAP_FLY"')
  })
})

describe('config.json', () => {
  const host = { capabilities: new Set<string>(), oomScoreFloor: 0, cgroup2: false, allDevices: true, cgroupRoot: '/c/n' }
  const config = (more: Parameters<typeof containerSpec>[2], of = host) =>
    bundleConfig(
      containerSpec('x', ['true'], more),
      { path: '/root', trees: [], volumes: [] },
      { uid: 0, gid: 0, additionalGids: [] },
      of,
    ) as any // any: free-form JSON
  test('outer mounts come before inner ones, and a volume replaces a system mount', () => {
    const volume = (destination: string) => ({ destination, source: '/s', readOnly: false, propagation: 'private' as const })
    const destinations = config({ mounts: [volume('/a/b/c'), volume('/a'), volume('/dev/shm'), volume('/a/b')] }).mounts.map(
      (m: { destination: string }) => m.destination,
    )
    expect(destinations.slice(-4)).toEqual(['/a', '/dev/shm', '/a/b', '/a/b/c'])
    expect(destinations.filter((d: string) => d === '/dev/shm')).toHaveLength(1)
  })
  test('limits, namespaces, oom score', () => {
    const made = config({
      resources: { memoryBytes: 1e6, cpuShares: 2, cpuQuotaMicros: 1000, pids: 5 },
      oomScoreAdj: -997,
      networkNamespace: '/run/netns/p',
      hostPID: true,
    })
    expect(made.linux.resources).toMatchObject({
      memory: { limit: 1e6 },
      cpu: { shares: 2, quota: 1000, period: 100_000 },
      pids: { limit: 5 },
    })
    expect(made.linux.namespaces).toEqual([{ type: 'mount' }, { type: 'uts' }, { type: 'ipc' }, { type: 'network', path: '/run/netns/p' }])
    expect(config({ pidNamespaceOf: 77 }).linux.namespaces).toContainEqual({ type: 'pid', path: '/proc/77/ns/pid' })
    expect(made.process.oomScoreAdj).toBe(0)
    expect(made.linux.cgroupsPath).toBe('/c/n/burstable/pod1/x/container')
    expect(config({ oomScoreAdj: -997 }, { ...host, oomScoreFloor: undefined as never }).process.oomScoreAdj).toBe(-997)
  })
  test('sysctls of the network belong to the pod, not the container', () => {
    expect(config({ sysctls: { 'net.core.somaxconn': '1', 'kernel.sem': '2' } }).linux.sysctl).toEqual({ 'kernel.sem': '2' })
  })
})

describe('seccomp', () => {
  const rule = (name: string, capabilities: string[], arch: string) =>
    defaultProfile(capabilities, arch).syscalls?.filter(s => s.names.includes(name))
  test('depends on capabilities and architecture', () => {
    expect(rule('mount', [], 'x64')).toEqual([])
    expect(rule('mount', ['CAP_SYS_ADMIN'], 'x64')).toHaveLength(1)
    expect(rule('arch_prctl', [], 'arm64')).toEqual([])
    expect(rule('clone', [], 's390x')?.[0]?.args).toMatchObject([{ index: 1 }])
    expect(rule('clone', ['CAP_SYS_ADMIN'], 's390x')?.[0]?.args).toBeUndefined()
    expect(rule('clone3', [], 'arm64')).toMatchObject([{ action: 'SCMP_ACT_ERRNO', errnoRet: 38 }])
    expect(rule('io_uring_setup', ['CAP_SYS_ADMIN'], 'x64')).toEqual([])
    expect(defaultProfile([], 'arm64').architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'])
  })
})

test('what a pod asks for in vain', () => {
  const container = { name: 'c', image: 'i', securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } }
  const spec = {
    securityContext: { seLinuxOptions: { level: 's0' }, appArmorProfile: { type: 'Unconfined' } },
    containers: [container, { name: 'd', image: 'i' }],
  }
  expect(unsupportedFields({ spec } as unknown as Pod)).toEqual([
    'seLinuxOptions',
    'appArmorProfile RuntimeDefault (the node has no profile of its own) of container c',
  ])
  const huge = { containers: [{ name: 'c', image: 'i', resources: { limits: { memory: '1Mi', 'hugepages-2Mi': '4Mi' } } }] }
  const of = (hugetlb: boolean) => unsupportedFields({ spec: huge } as unknown as Pod, { hugetlb })
  expect([of(true), of(false)]).toEqual([[], ['limits.hugepages-2Mi of container c']])
})
