import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { leases, pods, replicaSets, serviceAccounts } from '#shared/api/kinds.ts'
import { newRest } from '../../fixtures/apiserver.ts'
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

test('one that is killed is followed by another on its machine before its lease expires, one that hangs is not', async () => {
  const slow = ['--leader-elect-lease-duration', '1h', '--leader-elect-renew-deadline', '30m', '--leader-elect-retry-period', '100ms']
  const first = await start('--identity', 'first', ...slow)
  await until('the lease', async () => (await holder())?.startsWith('first_'))
  const second = await start('--identity', 'second', ...slow)
  await once(second, 'message')
  first.kill('SIGSTOP')
  const third = await start('--identity', 'third', ...slow)
  await once(third, 'message')
  expect(await holder()).toMatch(/^first_/)
  first.kill('SIGKILL')
  await until('another leader', async () => /^(second|third)_/.test((await holder()) ?? ''))
  for (const child of [second, third]) {
    const stopped = once(child, 'exit')
    child.kill('SIGTERM')
    await stopped
  }
})

test('health is for everybody, metrics are for whom the cluster knows', async () => {
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  await new Promise(resolve => free.close(resolve))
  const { tlsCertFile, tlsPrivateKeyFile, clientCaFile } = c.api.options
  await start(
    ...['--bind-address', '127.0.0.1', '--secure-port', String(port)],
    ...['--tls-cert-file', tlsCertFile, '--tls-private-key-file', tlsPrivateKeyFile, '--client-ca-file', clientCaFile!],
  )
  const rest = newRest(`https://127.0.0.1:${port}`, c.api.ca, c.api.admin)
  expect(await until('an answer', () => rest('GET', '/healthz', undefined, { as: 'nobody' }))).toMatchObject({ code: 200, text: 'ok' })
  expect((await rest('GET', '/livez?verbose', undefined, { as: 'nobody' })).text).toBe(
    '[+]ping ok\n[+]leaderElection ok\nlivez check passed\n',
  )
  expect((await rest('GET', '/metrics', undefined, { as: 'nobody' })).code).toBe(401)
  const bad = { authorization: 'Bearer nonsense' }
  expect((await rest('GET', '/metrics', undefined, { as: 'nobody', headers: bad })).code).toBe(401)
  const text = await until('a leader with queues', async () => {
    const { code, text } = await rest('GET', '/metrics')
    expect(code).toBe(200)
    return /^workqueue_adds_total\{name="serviceaccount"\} [1-9]/m.test(text) && text
  })
  expect(text).toMatch(/^leader_election_master_status\{name="kube-controller-manager"\} 1$/m)
  expect(text).toMatch(/^rest_client_requests_total\{method="GET",code="200",host="nats"\} [1-9]/m)
  expect(text).toMatch(/^kubernetes_build_info\{git_version="v1.35.0",major="1",minor="35",/m)
  for (const name of [
    'depth',
    'retries_total',
    'unfinished_work_seconds',
    'longest_running_processor_seconds',
    'work_duration_seconds_count',
  ])
    expect(text).toMatch(new RegExp(`^workqueue_${name}\\{name="garbage_collector_attempt_to_delete"\\} `, 'm'))
  expect(text).toMatch(/^workqueue_queue_duration_seconds_bucket\{name="replicaset",le="\+Inf"\} \d+$/m)
  // What was asked of its health above.
  const slis = await rest('GET', '/metrics/slis')
  expect(slis.text).toMatch(/^kubernetes_healthcheck\{name="leaderElection",type="livez"\} 1$/m)
  expect(slis.text).toMatch(/^kubernetes_healthchecks_total\{name="ping",status="success",type="healthz"\} [1-9]/m)
  expect((await rest('GET', '/nosuch')).code).toBe(404)
  rest.close()
})

test('a bad flag is one line and exit code 1', async () => {
  const child = await start('--no-such-flag', 'x')
  const text: Buffer[] = []
  child.stderr!.on('data', d => text.push(d as Buffer))
  expect(await once(child, 'exit')).toEqual([1, null])
  expect(Buffer.concat(text).toString().trim().split('\n')).toHaveLength(1)
})
