import { expect, test } from 'vitest'
import { machineCapacity } from '#node-agent/kubelet/node/allocatable.ts'
import { defaultEvictionHard, parseThresholds } from '#shared/kubelet/thresholds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Client } from '#shared/client/client.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { logger } from '#shared/component/log.ts'
import { extendedAllocatable, newNode, nodeConditions, type NodeOptions } from '#node-agent/kubelet/node/object.ts'
import { keepStatus } from '#node-agent/kubelet/node/registration.ts'

const machine = {
  cpus: 1,
  memoryBytes: 2 ** 30,
  maxPids: 32_768,
  diskBytes: 2 ** 30,
  architecture: 'amd64',
  kernelVersion: '',
  osImage: '',
  machineID: '',
  systemUUID: '',
  bootID: '',
}
const options: NodeOptions = {
  name: 'n',
  ip: '10.0.0.1',
  podCIDR: '10.1.0.0/24',
  capacity: machineCapacity(machine, 110),
  reservations: { kubeReserved: {}, systemReserved: {}, thresholds: parseThresholds({ hard: defaultEvictionHard }) },
  capabilities: { runtime: 'oci', network: 'bridge', proxy: 'nftables' },
  runtimeVersion: '1',
  machine,
}
const log = logger('test')
log.level = 'silent'

test('a node that is doubted says at once that it lives, until it is heard', async () => {
  const mine = newNode(options, new Date())
  const doubted = (name: string): Node => ({
    ...mine,
    metadata: { name },
    status: { ...mine.status, conditions: nodeConditions(undefined, new Date(), new Set()).map(c => ({ ...c, status: 'Unknown' })) },
  })
  const answers = [() => Promise.reject(new Error('no answer')), () => Promise.resolve(mine)]
  const client = { patch: () => answers.shift()?.() } as unknown as Client
  let show: (event: InformerEvent<Node>) => void = () => {}
  const informer = { subscribe: (handler: typeof show) => ((show = handler), () => {}) }
  const stop = new AbortController()
  const reported = Promise.withResolvers<Node>()
  const loop = keepStatus(client, options, () => mine, informer, 3_600_000, reported.resolve, log, stop.signal)
  show({ type: 'MODIFIED', object: mine })
  show({ type: 'MODIFIED', object: doubted('another') })
  await new Promise(resolve => setImmediate(resolve))
  expect(answers).toHaveLength(2)
  show({ type: 'MODIFIED', object: doubted('n') })
  expect(await reported.promise).toBe(mine)
  stop.abort()
  await loop
})

test('what somebody writes into the capacity can be used, and what is taken out cannot', () => {
  const capacity = { cpu: '1', 'example.com/gpu': '2' }
  expect(extendedAllocatable({ capacity, allocatable: { cpu: '1' } })).toEqual({ 'example.com/gpu': '2' })
  expect(extendedAllocatable({ capacity: { cpu: '1' }, allocatable: capacity })).toEqual({ 'example.com/gpu': null })
})

test('a node tells of its swap, where there is some', () => {
  expect(newNode(options, new Date()).status?.nodeInfo).not.toHaveProperty('swap')
  const swapping = { ...options, machine: { ...machine, swapBytes: 2 ** 30 } }
  expect(newNode(swapping, new Date()).status?.nodeInfo?.swap).toEqual({ capacity: 2 ** 30 })
})
