/** Clusters for the tests of controllers: no nodes, or nothing kept, or both; what is left of them when they end, however they do. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, runCox } from '../fixtures/cluster.ts'
import { inventory } from '../fixtures/inventory.ts'
import { runTool } from '../fixtures/kubectl.ts'
import { startTestCluster, type TestCluster } from '../fixtures/testcluster.ts'

const recorded = (cluster: TestCluster, name: string): number =>
  (JSON.parse(readFileSync(path.join(cluster.stateDir, 'run', `${name}.json`), 'utf8')) as { pid: number }).pid
const processesOf = async (dir: string): Promise<string[]> => (await inventory(dir, 0))['processes']!

describe('three that keep nothing, side by side', () => {
  let clusters: TestCluster[]
  beforeAll(async () => {
    clusters = await Promise.all([1, 2, 3].map(() => startTestCluster('--api-only')))
  })
  afterAll(() => Promise.all((clusters ?? []).map(c => c.stop())))

  test('each has a port and objects of its own', async () => {
    expect(new Set(clusters.map(c => c.server)).size).toBe(3)
    await Promise.all(clusters.map((c, i) => c.kubectl('create', 'configmap', 'mine', `--from-literal=i=${i}`)))
    const seen = await Promise.all(clusters.map(c => c.kubectl('get', 'configmap', 'mine', '-o', 'jsonpath={.data.i}')))
    expect(seen).toEqual(['0', '1', '2'])
    expect((await clusters[0]!.kubectl('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}')).trim()).toBe('kubernetes-admin')
  })

  test('pods can be made without a controller that makes accounts; nothing else than the API is there', async () => {
    const [cluster] = clusters as [TestCluster]
    await cluster.kubectl('run', 'pod', '--image=busybox')
    expect(await cluster.kubectl('get', 'pod', 'pod', '-o', 'jsonpath={.status.phase}')).toBe('Pending')
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toBe('')
    expect((await processesOf(cluster.stateDir)).map(command => /nats-server|cox\.js/.exec(command)?.[0])).toEqual(['nats-server'])
    expect(statSync(cluster.stateDir).mode & 0o777).toBe(0o700)
  })

  test('nats-server killed: it is back with what was there', async () => {
    const [cluster] = clusters as [TestCluster]
    await cluster.kubectl('create', 'configmap', 'before')
    const pid = recorded(cluster, 'nats-server')
    process.kill(pid, 'SIGKILL')
    await eventually(async () => (await cluster.tryKubectl('create', 'configmap', 'after')).code === 0, 'a write works again')
    expect(recorded(cluster, 'nats-server')).not.toBe(pid)
    expect(await cluster.kubectl('get', 'configmap', 'before', '-o', 'name')).toBe('configmap/before')
  })

  test('with its parent, a cluster ends, and nothing is left', async () => {
    const cluster = clusters.pop()!
    expect(await cluster.stop()).toBe(0)
    expect(existsSync(cluster.stateDir)).toBe(false)
    expect(await processesOf(cluster.stateDir)).toEqual([])
  })

  test('killed, it leaves no process; the next one to start removes its directory, and no other', async () => {
    const cluster = clusters.pop()!
    cluster.process.kill('SIGKILL')
    await cluster.ended
    await eventually(async () => (await processesOf(cluster.stateDir)).length === 0, 'nats-server is gone')
    expect(existsSync(cluster.stateDir)).toBe(true)
    const next = await startTestCluster('--api-only')
    clusters.push(next)
    await eventually(() => !existsSync(cluster.stateDir), 'the directory is gone')
    for (const { stateDir } of clusters) expect(existsSync(stateDir)).toBe(true)
  })
})

test('a kubeconfig where it is wanted, and controllers', { timeout: 90_000 }, async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-kubeconfig-'))
  const kubeconfig = path.join(dir, 'config')
  const cluster = await startTestCluster('--api-only', '--with-controllers', '--port', '0', '--kubeconfig', kubeconfig)
  try {
    expect(cluster.kubeconfig).toBe(kubeconfig)
    expect(await readFile(kubeconfig, 'utf8')).toContain(cluster.server)
    await cluster.kubectl('create', 'deployment', 'web', '--image=busybox')
    await eventually(async () => (await cluster.kubectl('get', 'pods', '-l', 'app=web', '-o', 'name')) !== '', 'a pod of the Deployment')
    await cluster.kubectl('create', 'namespace', 'passing')
    await cluster.kubectl('delete', 'namespace', 'passing', '--timeout=30s')
    cluster.process.kill('SIGTERM')
    expect(await cluster.ended).toBe(0)
    expect(existsSync(kubeconfig)).toBe(false)
    expect(existsSync(cluster.stateDir)).toBe(false)
    expect(await processesOf(cluster.stateDir)).toEqual([])
  } finally {
    await cluster.stop()
    await rm(dir, { recursive: true })
  }
})

test('without --ephemeral the objects, the port and the kubeconfig are kept', { timeout: 90_000 }, async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-apionly-'))
  const kubeconfig = path.join(dir, 'kubeconfig')
  const cox = (...args: string[]) => runCox([...args, '--state-dir', dir])
  try {
    expect(await cox('up', '--api-only', '--detach')).toMatchObject({ code: 0 })
    expect(await runTool('kubectl', kubeconfig, ['create', 'configmap', 'kept'])).toMatchObject({ code: 0 })
    const before = await readFile(kubeconfig, 'utf8')
    const rows = JSON.parse((await cox('ps', '-o', 'json')).stdout) as { component: string }[]
    expect(rows.map(r => r.component)).toEqual(['cox', 'nats-server'])
    expect((await cox('node', 'add')).stderr).toContain('a cluster that was made with --api-only has no nodes')
    expect((await cox('up', '--api-only')).stderr).toContain('is already up')
    expect((await cox('logs', 'kube-apiserver')).stdout).toContain('"component":"kube-apiserver"')
    expect(await cox('down')).toMatchObject({ code: 0 })
    expect(await processesOf(dir)).toEqual([])
    expect((await cox('up')).stderr).toContain('was made with --api-only')
    expect((await cox('up', '--ephemeral')).stderr).toContain('is not empty')
    expect(await cox('up', '--api-only', '--detach')).toMatchObject({ code: 0 })
    expect(await runTool('kubectl', kubeconfig, ['get', 'configmap', 'kept', '-o', 'name'])).toMatchObject({ stdout: 'configmap/kept' })
    expect(await readFile(kubeconfig, 'utf8')).toBe(before)
  } finally {
    await cox('down')
    await rm(dir, { recursive: true })
  }
})

test('a whole cluster that keeps nothing', { timeout: 120_000 }, async () => {
  const cluster = await startTestCluster('--nodes', '1')
  const { index } = JSON.parse(await readFile(path.join(cluster.stateDir, 'cluster.json'), 'utf8')) as { index: number }
  try {
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toBe('node/node-1')
    await cluster.kubectl('run', 'pod', '--image=busybox', '--', 'sleep', '1000')
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/pod', '--timeout=60s')
  } finally {
    expect(await cluster.stop()).toBe(0)
  }
  expect(existsSync(cluster.stateDir)).toBe(false)
  const after = await inventory(cluster.stateDir, index)
  for (const part of ['processes', 'links', 'routes', 'mounts', 'cgroups', 'rules']) expect(after[part], part).toEqual([])
})
