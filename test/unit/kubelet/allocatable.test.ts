/** What of a node pods can have. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { defaultEvictionHard, parseThresholds } from '#shared/kubelet/thresholds.ts'
import { enforcedAllocatable, machineCapacity, nodeResources, readHugepages } from '#node-agent/kubelet/node/allocatable.ts'

const Gi = 2 ** 30
const capacity = machineCapacity({ cpus: 4, memoryBytes: 8 * Gi, diskBytes: 100 * Gi, maxPids: 32_768 }, 110)
const reservations = {
  kubeReserved: { cpu: '100m', memory: '500Mi', 'ephemeral-storage': '1Gi', pid: '1000' },
  systemReserved: { cpu: '1', memory: '1Gi' },
  thresholds: parseThresholds({ hard: { 'memory.available': '100Mi', 'nodefs.available': '10%' }, soft: { 'memory.available': '1Gi' }, softGracePeriod: { 'memory.available': '1m' } }), // prettier-ignore
}

test('what is reserved and what hard thresholds keep free is not allocatable', () => {
  expect(nodeResources(capacity, reservations)).toEqual({
    capacity: {
      cpu: '4',
      memory: '8388608Ki',
      'ephemeral-storage': '104857600Ki',
      pods: '110',
      'hugepages-1Gi': '0',
      'hugepages-2Mi': '0',
    },
    allocatable: {
      cpu: '2900m',
      memory: `${(8192 - 1024 - 500 - 100) * 1024}Ki`,
      'ephemeral-storage': String(99 * Gi - Math.trunc(100 * Gi * Math.fround(0.1))),
      pods: '110',
      'hugepages-1Gi': '0',
      'hugepages-2Mi': '0',
    },
  })
  // The kernel lets pods use what evictions keep free, until they act.
  expect(enforcedAllocatable(capacity, reservations)).toEqual({ milliCPU: 2900, memoryBytes: (8192 - 1024 - 500) * 2 ** 20, pids: 31_768 })
})

test('huge pages are no ordinary memory; nothing is less than nothing', () => {
  const none = { kubeReserved: {}, systemReserved: {}, thresholds: parseThresholds({ hard: defaultEvictionHard }) }
  const pages = { ...capacity, hugepages: { 'hugepages-1Gi': 0, 'hugepages-2Mi': Gi } }
  expect(nodeResources(pages, none).allocatable).toMatchObject({ memory: `${(7 * 1024 - 100) * 1024}Ki`, 'hugepages-2Mi': '1Gi' })
  const all = { ...none, systemReserved: { cpu: '100', memory: '1Ti', 'ephemeral-storage': '1Pi' } }
  expect(nodeResources(capacity, all).allocatable).toMatchObject({ cpu: '0', memory: '0Ki', 'ephemeral-storage': '0' })
})

test('huge pages of a machine', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hugepages-'))
  for (const [size, pages] of [
    ['2048', 512],
    ['64', 16],
  ] as const) {
    mkdirSync(join(directory, `hugepages-${size}kB`))
    writeFileSync(join(directory, `hugepages-${size}kB`, 'nr_hugepages'), `${pages}\n`)
  }
  expect(readHugepages(directory)).toEqual({ 'hugepages-1Gi': 0, 'hugepages-2Mi': Gi, 'hugepages-64Ki': 2 ** 20 })
  expect(readHugepages(join(directory, 'none'))).toEqual({ 'hugepages-1Gi': 0, 'hugepages-2Mi': 0 })
  rmSync(directory, { recursive: true })
})
