/** What pods write on the node's disk: measured, limited, rotated. */
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { logger } from '#shared/component/log.ts'
import { evictionManager } from '#node-agent/kubelet/eviction/manager.ts'
import type { Observation } from '#node-agent/kubelet/eviction/signals.ts'
import { parseThresholds, type Signal, type Statements } from '#shared/kubelet/thresholds.ts'
import { evictions } from '#node-agent/kubelet/metrics.ts'
import { rotateLogs } from '#node-agent/kubelet/logs/monitor.ts'
import { podDirectory, volumeDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
/** Writes 20 MB to a path below its root and is ready then. */
const writer = (path: string, more = {}) => ({
  name: 'c',
  image: 'busybox',
  command: ['sh', '-c', `dd if=/dev/zero of=${path} bs=1M count=20 2>/dev/null; touch written; sleep 1000`],
  readinessProbe: { exec: { command: ['test', '-e', 'written'] }, periodSeconds: 1 },
  ...more,
})
const mounted = { volumeMounts: [{ name: 'd', mountPath: '/d' }] }
const volume = (sizeLimit: string) => [{ name: 'd', emptyDir: { sizeLimit } }]
const limits = (storage: string) => ({ resources: { limits: { 'ephemeral-storage': storage } } })
const grace = { terminationGracePeriodSeconds: 600 }

/** A manager of a node that has left what the test says. */
const manager = (hard: Statements, left: Map<Signal, Observation>, soft: Statements = {}, softGracePeriod: Statements = {}) =>
  evictionManager({
    thresholds: parseThresholds({ hard, soft, softGracePeriod }),
    transitionMs: 0,
    maxPodGraceSeconds: 2,
    places: { rootDir: h.rootDir, imageDir: h.rootDir, cgroupRoot: h.cgroupRoot },
    nodeName: 'n1',
    log: logger('test'),
    observe: () => left,
  })
const node = (more = {}) => ({ kubelet: h.kubelet(), runtime: h.options().runtime, recorder: h.options().recorder, ...more })
const Mi = 2 ** 20

test.runIf(isolated)("what a pod writes to the node's files that it is given counts, too", async () => {
  const paths = { log: '/dev/termination-log', host: '/etc/hostname', resolver: '/etc/resolv.conf' }
  for (const [name, path] of Object.entries(paths))
    h.pod(name, { ...grace, containers: [writer(path, { ...limits('5Mi'), terminationMessagePath: '/dev/termination-log' })] })
  for (const name of Object.keys(paths)) await h.until(name, isReady)
  await manager({}, new Map()).synchronize(node())
  for (const name of Object.keys(paths)) {
    const pod = await h.until(name, p => p.status?.phase === 'Failed')
    expect(pod.status?.message).toBe('Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ')
    h.delete(name, 1)
    await h.api.until(() => !h.get(name))
  }
})

test('pods that have written more than they may are evicted, others are not', async () => {
  h.pod('volume', { ...grace, containers: [writer('d/x', mounted)], volumes: volume('5Mi') })
  h.pod('layer', { ...grace, containers: [writer('bigfile', limits('5Mi'))] })
  h.pod('one', {
    ...grace,
    containers: [writer('bigfile', limits('5Mi')), { ...writer('d/x', limits('1Gi')), name: 'other', ...mounted }],
    volumes: volume('1Gi'),
  })
  h.pod('modest', { containers: [writer('d/x', { ...mounted, ...limits('50Mi') })], volumes: volume('50Mi') })
  h.pod('critical', { priority: 2_000_000_000, containers: [writer('bigfile', limits('5Mi'))] })
  for (const name of ['volume', 'layer', 'one', 'modest', 'critical']) await h.until(name, isReady)
  const counted = (signal: string): number => evictions.samples().find(s => s.labels?.['eviction_signal'] === signal)?.value ?? 0
  const signals = ['emptydirfs.limit', 'ephemeralpodfs.limit', 'ephemeralcontainerfs.limit']
  const before = signals.map(counted)
  await manager({}, new Map()).synchronize(node())
  for (const [name, message] of [
    ['volume', 'Usage of EmptyDir volume "d" exceeds the limit "5Mi". '],
    ['layer', 'Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. '],
    ['one', 'Container c exceeded its local ephemeral storage limit "5Mi". '],
  ] as const) {
    const pod = await h.until(name, p => p.status?.phase === 'Failed')
    expect(pod.status).toMatchObject({ reason: 'Evicted', message })
    await h.api.until(() => h.events(name).some(e => e.type === 'Warning' && e.reason === 'Evicted' && e.message === message))
  }
  for (const name of ['modest', 'critical']) expect(h.get(name)?.status?.phase).toBe('Running')
  expect(signals.map((signal, i) => counted(signal) - before[i]!)).toEqual([1, 1, 1])
})

test('a log that grows as fast as it can does not fill the disk', async () => {
  const stop = new AbortController()
  const rotating = rotateLogs(h.kubelet(), h.options().runtime, logger('test'), stop.signal)
  // Each burst is far more than a log may be, and the next comes when the log has been set aside: how fast the disk is does not matter.
  const bursts = 8
  const script = `for i in $(seq ${bursts}); do until [ -e d/$i ]; do sleep 0.02; done; yes 0123456789 | head -c 20000000; done; sleep 1000`
  const flooding = { name: 'c', image: 'busybox', command: ['sh', '-c', script], ...mounted }
  const pod = h.pod('flood', { ...grace, containers: [flooding], volumes: volume('1Gi') })
  await h.until('flood', p => p.status?.phase === 'Running')
  const directory = podDirectory(h.rootDir, pod.metadata.uid!)
  const logs = join(directory.logs, 'c')
  const sizes = async () =>
    await Promise.all(
      (await readdir(logs)).map(async name => ({ name, size: (await stat(join(logs, name)).catch(() => undefined))?.size ?? 0 })),
    )
  const rotations = async () =>
    (await sizes())
      .map(s => s.name)
      .sort()
      .at(-1)
  for (let i = 1; i <= bursts; i++) {
    const before = await rotations()
    await writeFile(join(volumeDirectory(directory.volumes, 'kubernetes.io/empty-dir', 'd'), String(i)), '')
    await expect.poll(rotations, { timeout: 30_000 }).not.toBe(before)
  }
  const total = async () => (await sizes()).reduce((n, s) => n + s.size, 0)
  await expect.poll(total).toBeLessThan(80_000_000)
  stop.abort()
  await rotating
  await h.kubelet().worker(pod.metadata.uid!)!.kill({ reason: 'Done', message: '', graceSeconds: 1 })
})

test('a node that is short of memory ends one pod after the other, those above their requests first, critical ones never', async () => {
  const hungry = (memory?: string) => ({
    name: 'c',
    image: 'busybox',
    command: ['sh', '-c', 'dd if=/dev/zero bs=20M count=1 2>/dev/null | (sleep 1; touch eating; sleep 1000)'],
    readinessProbe: { exec: { command: ['test', '-e', 'eating'] }, periodSeconds: 1 },
    ...(memory ? { resources: { requests: { memory } } } : {}),
  })
  h.pod('within', { ...grace, containers: [hungry('1Gi')] })
  h.pod('above', { ...grace, containers: [hungry('1Mi')] })
  h.pod('above-important', { ...grace, priority: 1000, containers: [hungry('1Mi')] })
  h.pod('node-critical', { ...grace, priority: 2_000_001_000, containers: [hungry()] })
  for (const name of ['within', 'above', 'above-important', 'node-critical']) await h.until(name, isReady)
  // Pods of the tests before are none of this one's.
  for (const name of ['modest', 'critical']) {
    h.delete(name, 0)
    await h.api.until(() => h.kubelet().find('default', name) === undefined || h.kubelet().find('default', name)!.stage !== 'running')
  }
  const left = new Map([['memory.available' as const, { available: 40 * Mi, capacity: 4096 * Mi }]])
  const m = manager({ 'memory.available': '100Mi' }, left)
  const running = () => ['above', 'above-important', 'within', 'node-critical'].filter(name => h.get(name)?.status?.phase === 'Running')
  for (const rest of [3, 2, 1, 1]) {
    await m.synchronize(node())
    await expect.poll(() => running().length).toBe(rest)
  }
  expect(running()).toEqual(['node-critical'])
  expect([...m.pressures()]).toEqual(['MemoryPressure'])
  const ends = ['above', 'above-important', 'within'].map(name => h.get(name)!.status!)
  for (const status of ends) {
    expect(status.reason).toBe('Evicted')
    expect(status.message).toMatch(/^The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi. /)
    expect(status.conditions).toContainEqual(expect.objectContaining({ type: 'DisruptionTarget', reason: 'TerminationByKubelet' }))
  }
  expect(ends[0]!.message).toMatch(/Container c was using \d+(Ki)?, request is 1Mi, has larger consumption of memory. $/)
  expect(ends[2]!.message).not.toContain('Container')
  await h.api.until(() => h.events('above').some(e => e.reason === 'Evicted' && e.metadata.annotations?.['starved_resource'] === 'memory'))
  await h.api.until(() => h.events('n1').some(e => e.reason === 'EvictionThresholdMet' && e.message === 'Attempting to reclaim memory'))
  left.set('memory.available', { available: 400 * Mi, capacity: 4096 * Mi })
  await m.synchronize(node())
  expect([...m.pressures()]).toEqual([])
})

test('a full disk costs images first, and pods when that was not enough; what writes most goes', async () => {
  h.pod('little', { ...grace, containers: [{ name: 'c', image: 'busybox', command: ['sleep', '1000'] }] })
  h.pod('much', { ...grace, containers: [writer('bigfile')] })
  await h.until('little', p => p.status?.phase === 'Running')
  await h.until('much', isReady)
  const full = { available: 5 * Mi, capacity: 1000 * Mi }
  const left = new Map([['nodefs.available' as const, full]])
  let asked = 0
  const removeUnusedImages = (gives: number) => async () => {
    asked++
    left.set('nodefs.available', { ...full, available: full.available + gives })
  }
  const m = manager({ 'nodefs.available': '1%' }, left)
  await m.synchronize(node({ removeUnusedImages: removeUnusedImages(100 * Mi) }))
  expect([asked, h.get('much')?.status?.phase]).toEqual([1, 'Running'])
  left.set('nodefs.available', full)
  await m.synchronize(node({ removeUnusedImages: removeUnusedImages(0) }))
  const { status } = await h.until('much', p => p.status?.phase === 'Failed')
  expect(status?.message).toMatch(
    /^The node was low on resource: ephemeral-storage. Threshold quantity: \d+(Ki|Mi)?, available: 5Mi. Container c was using \d+(Ki|Mi)?, request is 0, has larger consumption of ephemeral-storage. $/,
  )
  expect(h.get('little')?.status?.phase).toBe('Running')
})

test('a soft threshold waits, and gives pods their time', async () => {
  const polite = "trap 'touch d/left; exit 0' TERM; touch ready; while :; do sleep 0.05; done"
  const pod = h.pod('polite', {
    ...grace,
    containers: [
      {
        ...writer('x'),
        command: ['sh', '-c', polite],
        readinessProbe: { exec: { command: ['test', '-e', 'ready'] }, periodSeconds: 1 },
        ...mounted,
      },
    ],
    volumes: volume('1Gi'),
  })
  await h.until('polite', isReady)
  h.delete('little', 0)
  await h.api.until(() => h.kubelet().find('default', 'little')?.stage !== 'running')
  const left = new Map([['memory.available' as const, { available: 40 * Mi, capacity: 4096 * Mi }]])
  const patient = manager({}, left, { 'memory.available': '100Mi' }, { 'memory.available': '1h' })
  await patient.synchronize(node())
  expect([...patient.pressures()]).toEqual(['MemoryPressure'])
  expect(h.get('polite')?.status?.phase).toBe('Running')
  await manager({}, left, { 'memory.available': '100Mi' }, { 'memory.available': '0s' }).synchronize(node())
  await h.until('polite', p => p.status?.phase === 'Failed' && p.status.reason === 'Evicted')
  void pod
})
