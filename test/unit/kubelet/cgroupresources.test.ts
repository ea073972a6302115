/** Shares and weights, and a version 2 tree as files. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cgroupFs } from '#shared/linux/cgroup.ts'
import { ensureCgroup, readCgroup, sharesOf, updateCgroup, weightOf } from '#shared/linux/cgroupresources.ts'
import { cpuQuotaMicros, cpuShares, kernelResources, oomScoreAdjust, resourcesInForce } from '#node-agent/kubelet/container/resources.ts'
import { container, newPod } from './pods.ts'

describe('shares and weights', () => {
  test.each([
    [2, 1],
    [102, 17],
    [1024, 100],
    [2048, 174],
    [262_144, 10_000],
  ])('%i shares are a weight of %i', (shares, weight) => expect(weightOf(shares)).toBe(weight))
  const anyShares = fc.integer({ min: 2, max: 262_144 })
  test('more shares are never less weight, and there is a way back', () =>
    fc.assert(
      fc.property(anyShares, anyShares, (one, other) => {
        const [a, b] = [Math.min(one, other), Math.max(one, other)]
        const weight = weightOf(a)
        return (
          weight >= 1 && weight <= weightOf(b) && weightOf(b) <= 10_000 && weightOf(sharesOf(weight)) === weight && sharesOf(weight) <= a
        )
      }),
    ))
})

test('requests and limits of CPU', () => {
  expect([0, 1, 100, 1000, 10_000_000].map(cpuShares)).toEqual([2, 2, 102, 1024, 262_144])
  expect([1, 10, 100, 2500].map(cpuQuotaMicros)).toEqual([1000, 1000, 10_000, 250_000])
})

describe('a version 2 tree', () => {
  let root: string
  const was = cgroupFs.root
  beforeAll(() => {
    cgroupFs.root = root = mkdtempSync(join(tmpdir(), 'cgroup2-'))
    for (const path of ['', '/n', '/n/kubepods']) {
      mkdirSync(root + path, { recursive: true })
      writeFileSync(`${root}${path}/cgroup.controllers`, 'cpuset cpu io memory hugetlb pids\n')
      writeFileSync(`${root}${path}/cgroup.subtree_control`, path === '' ? 'memory pids\n' : '\n')
    }
  })
  afterAll(() => {
    cgroupFs.root = was
    rmSync(root, { recursive: true })
  })
  const file = (path: string): string => readFileSync(root + path, 'utf8')

  test('has its controllers handed on, and its files written', async () => {
    mkdirSync(join(root, 'n/kubepods/pod1'))
    for (const size of ['2MB', '1GB'])
      for (const kind of ['max', 'rsvd.max']) writeFileSync(`${root}/n/kubepods/pod1/hugetlb.${size}.${kind}`, 'max\n')
    await ensureCgroup('/n/kubepods/pod1', {
      cpuShares: 1024,
      cpuQuotaMicros: 50_000,
      memoryBytes: 2 ** 20,
      pids: 10,
      hugepages: { '2Mi': 2 ** 22 },
    })
    expect(file('/cgroup.subtree_control')).toBe('+cpu +hugetlb')
    expect(file('/n/kubepods/cgroup.subtree_control')).toBe('+cpu +memory +pids +hugetlb')
    const written = ['cpu.weight', 'cpu.max', 'memory.max', 'pids.max', 'hugetlb.2MB.max', 'hugetlb.2MB.rsvd.max', 'hugetlb.1GB.max']
    expect(written.map(name => file(`/n/kubepods/pod1/${name}`))).toEqual([
      '100',
      '50000 100000',
      '1048576',
      '10',
      '4194304',
      '4194304',
      '0',
    ])
    expect(await readCgroup('/n/kubepods/pod1')).toMatchObject({ cpuQuotaMicros: 50_000, memoryBytes: 2 ** 20, pids: 10 })
  })
  test('has no limits where there are to be none', async () => {
    await updateCgroup('/n/kubepods/pod1', { cpuQuotaMicros: -1, memoryBytes: -1, pids: -1 })
    expect(['cpu.max', 'memory.max', 'pids.max'].map(name => file(`/n/kubepods/pod1/${name}`))).toEqual(['max 100000', 'max', 'max'])
    expect(await readCgroup('/n/kubepods/pod1')).toMatchObject({ cpuQuotaMicros: -1, memoryBytes: -1, pids: -1 })
  })
  test('what a container was given is what its status says, though a weight says less than shares', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256_000 }), milli => {
        const set = { requests: { cpu: `${milli}m` } }
        const { cpuShares: shares = 2 } = kernelResources(set)
        return resourcesInForce(set, { cpuShares: sharesOf(weightOf(shares)) }).requests?.['cpu'] === `${milli}m`
      }),
    ))
})

describe('who is killed first', () => {
  const pod = (requests: object, limits: object = {}, more: object = {}) =>
    newPod({ containers: [container('c', { resources: { requests, limits } as never })], ...more })
  const adjust = (p: ReturnType<typeof pod>) => oomScoreAdjust(p, p.spec.containers[0]!, 8 * 2 ** 30)
  test.each([
    [pod({}), 1000],
    [pod({ cpu: '1', memory: '1Gi' }, { cpu: '1', memory: '1Gi' }), -997],
    [pod({ memory: '2Gi' }), 750],
    [pod({ cpu: '1' }), 999],
    [pod({ memory: '8Gi' }), 3],
    [pod({ memory: '2Gi' }, {}, { priority: 2_000_001_000, priorityClassName: 'system-node-critical' }), -997],
  ])('%#', (p, score) => expect(adjust(p)).toBe(score))
  test('a sidecar no sooner than what it serves', () => {
    const side = container('side', { restartPolicy: 'Always', resources: { requests: { memory: '1Mi' } } })
    const p = pod({ memory: '2Gi' }, {}, { initContainers: [side] })
    expect(oomScoreAdjust(p, side, 8 * 2 ** 30)).toBe(750)
  })
  test("what a pod asks for as a whole is its containers', as far as they do not say", () => {
    const p = newPod({
      resources: { requests: { memory: '4Gi' } },
      containers: [container('a', { resources: { requests: { memory: '1Gi' } } }), container('b')],
    })
    const scores = p.spec.containers.map(c => oomScoreAdjust(p, c, 8 * 2 ** 30))
    expect(scores).toEqual([688, 813])
  })
})
