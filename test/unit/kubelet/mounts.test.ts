import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { containerMounts } from '#node-agent/kubelet/container/mounts.ts'
import { podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { container, newPod } from './pods.ts'

const root = mkdtempSync(join(tmpdir(), 'mounts-'))
afterAll(() => rmSync(root, { recursive: true }))

test('a mount comes after what it lies in, however its path is written, and none lies above the root', async () => {
  const paths = ['/data/sub', '/data/', 'relative', '../../../up', '/a//b/./c', '/dev/shm/']
  const one = container('c', {
    terminationMessagePath: '../../../last/words',
    volumeMounts: paths.map((mountPath, i) => ({ name: `v${i}`, mountPath })),
  })
  const directory = podDirectory(root, 'uid')
  const mounts = await containerMounts(newPod({ containers: [one] }), one, new Map(), n => `/${n}`, directory, join(root, 'log'), false)
  const destinations = mounts.map(m => m.destination)
  expect(destinations.indexOf('/data')).toBeLessThan(destinations.indexOf('/data/sub'))
  expect(new Set(destinations)).toEqual(
    new Set([
      ...['/data', '/data/sub', '/relative', '/up', '/a/b/c', '/dev/shm', '/last/words'],
      ...['/etc/hosts', '/etc/resolv.conf', '/etc/hostname'],
    ]),
  )
})
