/**
 * `cox up` killed: the next one adopts what lives, `cox down` cleans up. A reboot: the same cluster comes back with its objects and pods.
 * The state directory removed: nothing runs on without it.
 */
import { mkdir, rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Client } from '#shared/client/client.ts'
import { processStartTime } from '#shared/component/processes.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { inventory } from '../../fixtures/inventory.ts'
import { pullPlug } from '../../fixtures/plug.ts'
import { clientOf, eventually, podsOf, row, signal, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2 })
  client = clientOf(cluster)
  await cluster.kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=3', '--port=8080')
  await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  await untilAllIsWell(cluster, client, 'web', 3)
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

const others = async (): Promise<string[]> =>
  (await cluster.ps()).filter(r => r.component !== 'cox' && r.component !== 'node').map(r => `${r.component} ${r.pid}`)
async function killSupervisor(): Promise<void> {
  await signal(cluster, r => r.component === 'cox', 'the supervisor')
  await eventually(async () => !(await cluster.ps()).some(r => r.component === 'cox'), 'the supervisor is gone')
}
async function expectNothing(): Promise<void> {
  const left = await inventory(cluster.dir, cluster.index)
  for (const part of ['processes', 'links', 'routes', 'mounts', 'cgroups', 'rules']) expect(left[part], part).toEqual([])
}
/** The pods that there were, and no others. */
const uids = async (): Promise<(string | undefined)[]> => (await podsOf(client, 'web')).map(p => p.metadata.uid).sort()

row('cox up killed: everything runs on, the next one adopts it, cox down cleans up after it', 240_000, async () => {
  const before = await others()
  await killSupervisor()
  expect((await cluster.cox('node', 'add')).stderr).toMatch(/is not up; `cox up` starts it$/)
  await cluster.up()
  expect(await others()).toEqual(before)
  // The new supervisor keeps what it adopted alive.
  const scheduler = await signal(cluster, r => r.component === 'kube-scheduler', 'the scheduler')
  await eventually(
    async () => (await cluster.ps()).some(r => r.component === 'kube-scheduler' && r.pid !== scheduler.pid),
    'a new scheduler',
  )
  await killSupervisor()
  await cluster.down()
  await expectNothing()
  await cluster.up()
  await untilAllIsWell(cluster, client, 'web', 3)
})

row('a reboot: every process killed, namespaces and links gone, the state directory kept', 240_000, async round => {
  await cluster.kubectl('create', 'configmap', `kept-${round}`, '--from-literal=a=1')
  const before = await uids()
  await pullPlug(cluster.dir, cluster.index, await cluster.ps())
  await expectNothing()

  await cluster.up()
  // Somebody else may have its port by now.
  client = clientOf(cluster)
  await untilAllIsWell(cluster, client, 'web', 3)
  expect(await cluster.kubectl('get', 'configmap', `kept-${round}`, '-o', 'jsonpath={.data.a}')).toBe('1')
  expect(await uids()).toEqual(before)
})

row('the state directory removed: the supervisor ends with all that it started; a new cluster there is another one', 240_000, async () => {
  const removed = await startCluster({ nodes: 1 })
  const { index } = removed
  const run = async (): Promise<void> => {
    await removed.kubectl('run', 'web', '--image=registry.k8s.io/echoserver:1.10')
    await removed.kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s')
  }
  try {
    await run()
    const ran = (await removed.ps()).map(r => ({ ...r, start: processStartTime(r.pid) }))
    // It hears of it only when another cluster has the place.
    const supervisor = ran.find(r => r.component === 'cox')!.pid
    process.kill(supervisor, 'SIGSTOP')
    try {
      await rm(removed.dir, { recursive: true, force: true, maxRetries: 10 })
      await mkdir(removed.dir)
      await removed.up()
      expect(removed.index).not.toBe(index)
      await run()
    } finally {
      process.kill(supervisor, 'SIGCONT')
    }
    await eventually(() => ran.every(({ pid, start }) => processStartTime(pid) !== start), 'nothing of the former one runs')
    await eventually(async () => {
      const left = await inventory(removed.dir, index)
      return ['links', 'routes', 'rules', 'cgroups'].every(part => left[part]?.length === 0)
    }, 'nothing is left of it')
    await removed.kubectl('delete', 'pod', 'web', '--grace-period=1')
    await run()
  } finally {
    await removed.stop()
  }
})
