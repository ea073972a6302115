import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { detectCapabilities } from '#node-agent/capabilities.ts'
import { hostUnsupported } from '#node-agent/network/host.ts'
import { unsupportedFields } from '#node-agent/runtime/process/unsupported.ts'

describe('what a node can do', () => {
  const machine = (root: boolean, platform: NodeJS.Platform, ...programs: string[]) => ({
    root,
    platform,
    has: (name: string) => programs.includes(name),
  })
  const all = ['runc', 'conmon', 'ip', 'nft']
  const plain = { runtime: 'process', network: 'host', proxy: 'userspace' }
  test.each([
    [machine(true, 'linux', ...all), { runtime: 'oci', network: 'bridge', proxy: 'nftables' }],
    [machine(true, 'linux', 'crun', 'conmon', 'ip'), { runtime: 'oci', network: 'host', proxy: 'userspace' }],
    [machine(true, 'linux', 'runc', 'ip', 'nft'), { runtime: 'process', network: 'bridge', proxy: 'nftables' }],
    [machine(false, 'linux', ...all), plain],
    [machine(true, 'darwin', ...all), plain],
  ])('%j', (of, expected) => expect(detectCapabilities({}, of)).toEqual(expected))
  test('each can be forced by itself', () => {
    expect(detectCapabilities({ runtime: 'process', proxy: 'userspace' }, machine(true, 'linux', ...all))).toEqual({
      runtime: 'process',
      network: 'bridge',
      proxy: 'userspace',
    })
    expect(detectCapabilities({ network: 'host' }, machine(true, 'linux', ...all))).toEqual({
      runtime: 'oci',
      network: 'host',
      proxy: 'userspace',
    })
  })
})

describe('what a pod cannot have as plain processes', () => {
  const pod = (spec: object, container: object = {}): Pod =>
    ({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'x', ...container }], ...spec } }) as unknown as Pod
  const fields = (...of: Parameters<typeof pod>) => unsupportedFields(pod(...of), { uid: 1000, mounts: false })
  test('nothing, when it asks for nothing', () => {
    expect(
      fields(
        {},
        {
          volumeMounts: [{ name: 't', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
          resources: { requests: { cpu: '1' } },
        },
      ),
    ).toEqual([])
    expect(
      fields({ securityContext: { runAsUser: 1000 } }, { securityContext: { runAsUser: 1000, allowPrivilegeEscalation: true } }),
    ).toEqual([])
  })
  test('users, privileges, limits, mounts, each by its field', () => {
    const spec = {
      securityContext: { runAsUser: 5, fsGroup: 6 },
      volumes: [{ name: 'm', emptyDir: { medium: 'Memory' } }],
      shareProcessNamespace: true,
    }
    const container = {
      resources: { limits: { memory: '1Mi', cpu: '1' } },
      securityContext: { privileged: true, capabilities: { drop: ['ALL'] } },
      volumeMounts: [
        { name: 'm', mountPath: '/a' },
        { name: 'm', mountPath: '/a/b-c', readOnly: true },
      ],
    }
    expect(fields(spec, container)).toEqual([
      'runAsUser 5 (it is 1000)',
      'fsGroup',
      'shareProcessNamespace (all processes of the node share one)',
      'medium Memory of volume m (it is on disk)',
      'privileged of container c',
      'capabilities of container c',
      'limits.memory of container c',
      'limits.cpu of container c',
      'mountPath /a (it is ./a and $COXSWAIN_MOUNT_A) of container c',
      'mountPath /a/b-c (it is $COXSWAIN_MOUNT_A_B_C) of container c',
      'readOnly of mountPath /a/b-c of container c',
    ])
  })
  test('on the host network: other host ports, network sysctls', () => {
    const ports = [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81, hostPort: 81 }] // prettier-ignore
    expect(hostUnsupported(pod({ securityContext: { sysctls: [{ name: 'net.core.somaxconn', value: '1' }] } }, { ports }))).toEqual([
      "hostPort 8080 of container c (every pod has the node's ports: it is reached at 80)",
      'sysctl net.core.somaxconn',
    ])
  })
})
