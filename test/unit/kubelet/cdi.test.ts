import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { logger } from '#shared/component/log.ts'
import { cdiEdits } from '#node-agent/kubelet/cdi/registry.ts'
import { withEdits } from '#node-agent/kubelet/container/cdi.ts'
import { pathOnNode } from '#node-agent/kubelet/kubeletpaths.ts'
import type { ContainerSpec } from '#node-agent/runtime/runtime.ts'

const log = logger('test')
log.level = 'silent'
const root = mkdtempSync(join(tmpdir(), 'cdi-'))
const directories = ['etc', 'run'].map(name => join(root, name))
for (const directory of directories) mkdirSync(directory)
afterAll(() => rmSync(root, { recursive: true }))

const file = (directory: 0 | 1, name: string, content: string | object): void =>
  writeFileSync(join(directories[directory]!, name), typeof content === 'string' ? content : JSON.stringify(content))
const device = (name: string, ...env: string[]) => ({ name, containerEdits: { env } })
const spec = (kind: string, devices: object[], more: object = {}) => ({ cdiVersion: '0.6.0', kind, devices, ...more })
const env = async (...ids: string[]): Promise<string[]> => (await cdiEdits(ids, directories, log)).env

file(0, 'a.json', spec('v.com/gpu', [device('0', 'A=etc'), device('1', 'B=etc')], { containerEdits: { env: ['ALL=1'] } }))
file(1, 'a.json', spec('v.com/gpu', [device('0', 'A=run')]))
file(1, 'b.yaml', 'cdiVersion: 1.0.0\nkind: v.com/nic\ndevices: [{name: eth0, containerEdits: {env: [NIC=eth0]}}]\n')
file(1, 'twice-1.json', spec('v.com/twice', [device('x', 'X=1')]))
file(1, 'twice-2.json', spec('v.com/twice', [device('x', 'X=2')]))
file(1, 'broken.json', '{')
file(1, 'odd.json', spec('no-vendor', [device('x')]))
file(1, 'new.json', { ...spec('v.com/new', [device('x', 'N=1')]), cdiVersion: '9.0' })
file(1, 'ignored.txt', spec('v.com/text', [device('x')]))

test('a device is what the last directory says of it; what a file says of all its devices counts once', async () => {
  expect(await env('v.com/gpu=0')).toEqual(['A=run'])
  expect(await env('v.com/gpu=1')).toEqual(['ALL=1', 'B=etc'])
  expect(await env('v.com/gpu=1', 'v.com/nic=eth0')).toEqual(['ALL=1', 'B=etc', 'NIC=eth0'])
})

test('what is nowhere, twice in one directory, or in a file that cannot be read is named', async () => {
  await expect(env('v.com/gpu=0', 'v.com/gpu=9', 'v.com/twice=x')).rejects.toThrow(
    'CDI device injection failed: unresolvable CDI devices v.com/gpu=9, v.com/twice=x',
  )
  for (const id of ['no-vendor=x', 'v.com/new=x', 'v.com/text=x']) await expect(env(id)).rejects.toThrow(`unresolvable CDI devices ${id}`)
})

test('a container gets it in place of its own', () => {
  const container = {
    env: ['PATH=/bin', 'A=own'],
    mounts: [{ destination: '/lib/x', source: '/own', readOnly: false, propagation: 'private' }],
    user: { supplementalGroups: [5] },
  } as unknown as ContainerSpec
  const edits = {
    env: ['A=1', 'B=2', 'B=3'],
    deviceNodes: [{ path: '/dev/gpu0' }, { path: '/dev/made', type: 'c' as const, major: 1, minor: 3, permissions: 'rw' }],
    mounts: [{ hostPath: '/var/lib/kubelet/plugins/x/lib', containerPath: '/lib/x', options: ['ro', 'nosuid', 'bind'] }],
    hooks: [{ hookName: 'createContainer' as const, path: '/bin/hook' }],
    additionalGids: [5, 44],
  }
  expect(withEdits(container, edits, path => pathOnNode(path, '/state'))).toMatchObject({
    env: ['PATH=/bin', 'A=1', 'B=3'],
    mounts: [{ destination: '/lib/x', source: '/state/plugins/x/lib', readOnly: true }],
    devices: [
      { hostPath: '/dev/gpu0', containerPath: '/dev/gpu0', permissions: 'rwm' },
      { hostPath: '/dev/made', containerPath: '/dev/made', permissions: 'rw', type: 'c', major: 1, minor: 3 },
    ],
    hooks: edits.hooks,
    user: { supplementalGroups: [5, 44] },
  })
})

test('each node has a /var/run/cdi of its own', () => {
  expect(['/var/run/cdi', '/run/cdi/a.json', '/var/run/cdi/', '/var/run/cdix'].map(p => pathOnNode(p, '/state'))).toEqual([
    '/state/cdi',
    '/state/cdi/a.json',
    '/state/cdi',
    '/var/run/cdix',
  ])
})
