import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { leases, pods, replicaSets, serviceAccounts } from '#shared/api/kinds.ts'
import { startControl, until, type Control } from './setup.ts'

const main = fileURLToPath(new URL('../../../control-plane/controller-manager/main.ts', import.meta.url))
let c: Control
const children = new Set<ChildProcess>()
beforeAll(async () => {
  c = await startControl()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await c?.stop()
})

async function start(...flags: string[]): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [main, '--nats-url', c.api.nats.url, '--creds', await c.api.nats.creds('system:kube-controller-manager'), ...flags],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  )
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}
const holder = async () => (await c.client.get(leases, 'kube-system', 'kube-controller-manager')).spec?.holderIdentity

test('a manager that is killed is replaced by the next, and leaves in good order on SIGTERM', async () => {
  const quick = ['--leader-elect-lease-duration', '2s', '--leader-elect-renew-deadline', '1500ms', '--leader-elect-retry-period', '500ms']
  const first = await start('--identity', 'one', ...quick)
  expect((await once(first, 'message'))[0]).toBe('ready')
  await until('the lease', async () => (await holder())?.startsWith('one_'))
  await until('a service account', () => c.client.get(serviceAccounts, 'default', 'default'))
  const killed = once(first, 'exit')
  first.kill('SIGKILL')
  await killed
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
  await c.client.create(replicaSets, 'default', {
    metadata: { name: 'web' },
    spec: { replicas: 3, selector: { matchLabels: { a: 'b' } }, template },
  } as never)
  const second = await start('--identity', 'one', ...quick)
  await until('pods', async () => (await c.client.list(pods, 'default')).items.length === 3)
  const stopped = once(second, 'exit')
  second.kill('SIGTERM')
  expect(await stopped).toEqual([0, null])
  expect((await holder()) ?? '').toBe('')
})

test('a bad flag is one line and exit code 1', async () => {
  const child = await start('--no-such-flag', 'x')
  const text: Buffer[] = []
  child.stderr!.on('data', d => text.push(d as Buffer))
  expect(await once(child, 'exit')).toEqual([1, null])
  expect(Buffer.concat(text).toString().trim().split('\n')).toHaveLength(1)
})
