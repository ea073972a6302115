import { expect, test } from 'vitest'
import { machineCapacity } from '#node-agent/kubelet/node/allocatable.ts'
import { defaultEvictionHard, parseThresholds } from '#shared/kubelet/thresholds.ts'
import { rememberFromStatus } from '#node-agent/kubelet/pod/lost.ts'
import { newState } from '#node-agent/kubelet/pod/state.ts'
import { newNode, nodeConditions } from '#node-agent/kubelet/node/object.ts'
import { nodeLease } from '#node-agent/kubelet/node/lease.ts'
import { newPod } from './pods.ts'

const now = new Date('2026-01-01T00:00:00.000Z')

test('runs of a pod whose node lost its disk are told as upstream tells of them', () => {
  const status = (more: object) => ({
    name: 'a',
    ready: true,
    image: 'busybox',
    imageID: 'id',
    containerID: 'coxswain://abc',
    restartCount: 3,
    ...more,
  })
  const remembered = (more: object) => {
    const state = newState(now)
    rememberFromStatus({ ...newPod(), status: { containerStatuses: [status(more)] } }, state, now)
    return state.containers['a']?.current
  }
  expect(remembered({ state: { running: { startedAt: '2025-12-31T00:00:00Z' } } })).toMatchObject({
    id: 'abc',
    attempt: 3,
    state: 'exited',
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
  })
  expect(remembered({ state: { terminated: { exitCode: 0, reason: 'Completed', finishedAt: '2025-12-31T00:00:00Z' } } })).toMatchObject({
    exitCode: 0,
    reason: 'Completed',
    finishedAt: '2025-12-31T00:00:00Z',
  })
  expect(remembered({ containerID: undefined })).toBeUndefined()
})

const machine = {
  cpus: 2,
  memoryBytes: 8 << 20,
  maxPids: 32_768,
  diskBytes: 1 << 20,
  architecture: 'amd64',
  kernelVersion: '6',
  osImage: 'Debian',
  machineID: 'm',
  systemUUID: 's',
  bootID: 'b',
}
const options = {
  name: 'n',
  ip: '10.0.0.1',
  podCIDR: '10.1.0.0/24',
  capacity: machineCapacity({ ...machine, memoryBytes: 1 << 30 }, 110),
  reservations: { kubeReserved: {}, systemReserved: {}, thresholds: parseThresholds({ hard: defaultEvictionHard }) },
  capabilities: { runtime: 'oci', network: 'bridge', proxy: 'nftables' } as const,
  runtimeVersion: 'runc-1',
  machine: { ...machine, memoryBytes: 1 << 30 },
}

test('the Node object', () => {
  const node = newNode(options, now)
  expect(node.metadata.labels).toMatchObject({ 'kubernetes.io/hostname': 'n', 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64' })
  expect(node.spec).toEqual({ podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24'] })
  expect(node.status).toMatchObject({
    capacity: { cpu: '2', memory: '1048576Ki', pods: '110' },
    allocatable: { memory: '946176Ki' },
    nodeInfo: { kubeletVersion: 'v1.35.0', containerRuntimeVersion: 'oci://runc-1' },
  })
  expect(node.status?.conditions?.map(c => [c.type, c.status, c.reason])).toEqual([
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID'],
    ['Ready', 'True', 'KubeletReady'],
  ])
  const later = nodeConditions(node.status?.conditions, new Date('2026-01-01T00:01:00Z'), new Set(), 'broken')
  expect(later[0]).toMatchObject({ lastTransitionTime: '2026-01-01T00:00:00Z', lastHeartbeatTime: '2026-01-01T00:01:00Z' })
  expect(later[3]).toMatchObject({
    status: 'False',
    reason: 'KubeletNotReady',
    message: 'broken',
    lastTransitionTime: '2026-01-01T00:01:00Z',
  })
})

test('the Lease belongs to the node and keeps what is there', () => {
  const node = { ...newNode(options, now), metadata: { name: 'n', uid: 'u' } }
  const lease = nodeLease(node, 40, undefined, now)
  expect(lease).toMatchObject({
    metadata: { name: 'n', namespace: 'kube-node-lease', ownerReferences: [{ kind: 'Node', name: 'n', uid: 'u' }] },
    spec: { holderIdentity: 'n', leaseDurationSeconds: 40, renewTime: '2026-01-01T00:00:00.000000Z' },
  })
  const again = nodeLease(node, 40, { ...lease, metadata: { ...lease.metadata, resourceVersion: '7' } }, now)
  expect(again.metadata.resourceVersion).toBe('7')
})
