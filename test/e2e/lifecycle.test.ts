/** Starting, stopping, what is kept and what is left behind; the CLI's errors. */
import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { inventory } from '../fixtures/inventory.ts'

describe('a cluster that comes and goes', () => {
  let cluster: ClusterFixture
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2 })
  })
  afterAll(() => cluster?.stop())

  test('a second one runs beside it, and each sees its own objects', async () => {
    const other = await startCluster({ nodes: 1 })
    try {
      expect(other.index).not.toBe(cluster.index)
      await other.kubectl('create', 'configmap', 'mine')
      expect((await cluster.tryKubectl('get', 'configmap', 'mine')).stderr).toContain('not found')
      expect((await cluster.kubectl('get', 'nodes', '-o', 'name')).split('\n')).toEqual(['node/node-1', 'node/node-2'])
    } finally {
      await other.stop()
    }
  })

  test('nodes are added, listed and removed', async () => {
    expect((await cluster.cox('node', 'add', '--name', 'extra')).stdout).toContain('node extra is Ready')
    const list = JSON.parse((await cluster.cox('node', 'list', '-o', 'json')).stdout) as { name: string; status: string }[]
    expect(list.map(n => [n.name, n.status])).toEqual([
      ['node-1', 'Ready'],
      ['node-2', 'Ready'],
      ['extra', 'Ready'],
    ])
    expect((await cluster.cox('node', 'rm', 'extra')).code).toBe(0)
    expect((await cluster.tryKubectl('get', 'node', 'extra')).stderr).toContain('nodes "extra" not found')
  })

  // The whole of a cluster ends and starts again within it, on a machine that other files use too.
  test('down leaves nothing but the state directory; up brings objects and pods back', { timeout: 90_000 }, async () => {
    await cluster.kubectl('create', 'configmap', 'kept', '--from-literal=a=1')
    await cluster.kubectl('create', 'deployment', 'kept', '--image=busybox', '--replicas=2', '--', 'sleep', '100000')
    await cluster.kubectl('rollout', 'status', 'deployment/kept', '--timeout=60s')
    const during = await inventory(cluster.dir, cluster.index)
    expect(during['processes']?.length).toBeGreaterThan(5)
    expect(during['links']?.length).toBe(3)
    await cluster.down()
    const after = await inventory(cluster.dir, cluster.index)
    for (const part of ['processes', 'links', 'routes', 'mounts', 'cgroups', 'rules']) expect(after[part], part).toEqual([])
    expect(after['namespaces']).toEqual(during['namespaces'])

    await cluster.up()
    expect(await cluster.kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}')).toBe('1')
    // The status still counts the pods as they were before: only processes show that they run again.
    await eventually(
      async () => (await cluster.ps()).filter(r => r.component === 'container' && r.pod?.startsWith('kept-')).length >= 2,
      'the pods run again',
    )
    await eventually(
      async () => (await cluster.kubectl('get', 'deployment', 'kept', '-o', 'jsonpath={.status.readyReplicas}')) === '2',
      'they are ready',
    )
  })

  test('a second supervisor is refused', async () => {
    const ran = await cluster.cox('up')
    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(/^cox: the cluster in .* is already up \(pid \d+\); `cox down` stops it$/)
  })

  test('kubeconfig and logs', async () => {
    expect((await cluster.cox('kubeconfig')).stdout.trim()).toBe((await readFile(cluster.kubeconfig, 'utf8')).trim())
    expect((await cluster.cox('logs', 'kube-apiserver')).stdout).toContain('"component":"kube-apiserver"')
    expect((await cluster.cox('logs', 'node-1')).code).toBe(0)
  })

  test('a store that has lost something is not taken for whole', { timeout: 120_000 }, async () => {
    await cluster.kubectl('create', 'configmap', 'lost')
    await cluster.down()
    await rm(path.join(cluster.dir, 'nats/store/jetstream'), { recursive: true })
    const ran = await cluster.cox('up', '--detach')
    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(
      /^cox: kube-apiserver does not start \(exited with code 78, once\): kube-apiserver: the store ends at version 0, but version \d+ was acknowledged: objects are gone/,
    )
    const file = /remove (\S+)$/m.exec(ran.stderr)?.[1]
    expect(file).toBe(path.join(cluster.dir, 'store-version'))
    await rm(file!)
    await cluster.up()
    expect((await cluster.tryKubectl('get', 'configmap', 'lost')).stderr).toContain('not found')
  })
})

describe('impossible requests are one clear line and exit code 1', () => {
  const nowhere = path.join(import.meta.dirname, 'no-such-state')
  test.each([
    [['--bogus'], /unknown option '--bogus'/],
    [['sail'], /unknown command 'sail'/],
    [['up', '--nodes', 'many'], /'--nodes <n>' argument 'many' is invalid/],
    [['up', '--nodes', '0'], /is invalid/],
    [['up', '--api-only', '--nodes', '2'], /option '--api-only' cannot be used with option '--nodes <n>'/],
    [['up', '--with-controllers'], /--with-controllers is for --api-only/],
    [['up', '--port', '70000'], /argument '70000' is invalid/],
    [['up', '--exit-with-parent'], /--exit-with-parent wants a pipe as standard input/],
    [['up', '--ephemeral', '--state-dir', import.meta.dirname], /is not empty: with --ephemeral the state directory is removed in the end/],
    [['ps', '-o', 'xml'], /Allowed choices are table, json/],
    [['ps', '--state-dir', nowhere], /there is no cluster in/],
    [['down', '--state-dir', nowhere], /there is no cluster in/],
    [['kubeconfig', '--state-dir', nowhere], /there is no cluster in/],
    [['kubeconfig', '--user', ''], /'--user <name>' argument '' is invalid. It must not be empty/],
    [['node', 'kill', 'node-1', '--state-dir', nowhere], /there is no cluster in|is not up/],
    [['link', 'cut', 'node-1', '--state-dir', nowhere], /there is no cluster in/],
    [['link', 'degrade', 'node-1', '--loss', '101'], /argument '101' is invalid/],
    [['node', 'kill'], /missing required argument 'name'/],
    [['down', 'now'], /too many arguments/],
    [
      ['chaos', '--only', 'node,engine'],
      /There is no "engine" to hit; there are: node, agent, apiserver, nats, controller-manager, scheduler, cloud-controller-manager, pod, link/,
    ],
    [['chaos', '--duration', 'soon'], /It must be a duration like 10m, 90s or 500ms/],
    [['chaos', '--seed', '-1'], /It must be a whole number from 0 to 4294967295/],
    [['chaos', '--state-dir', nowhere], /there is no cluster in/],
  ])('cox %j', async (args, message) => {
    const ran = await runCox(args)
    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(message)
    expect(ran.stderr).toMatch(/^cox: /)
    expect(ran.stderr.trim().split('\n')).toHaveLength(1)
  })
  test('--help everywhere', async () => {
    for (const args of [[], ['up'], ['down'], ['ps'], ['node'], ['node', 'add'], ['link', 'degrade'], ['logs'], ['kubeconfig']]) {
      const ran = await runCox([...args, '--help'])
      expect(ran.code).toBe(0)
      expect(ran.stdout).toContain('Usage: cox')
    }
  })
})
