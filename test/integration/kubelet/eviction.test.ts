/** What pods write on the node's disk: measured, limited, rotated. */
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { logger } from '#shared/component/log.ts'
import { evictOverLimits } from '#node-agent/kubelet/eviction/storage.ts'
import { rotateLogs } from '#node-agent/kubelet/logs/monitor.ts'
import { podDirectory, volumeDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { harness, type Harness } from './harness.ts'

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
  await evictOverLimits(h.kubelet(), h.options().runtime, h.options().recorder)
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
