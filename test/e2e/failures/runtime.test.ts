/** A container runtime that hangs: the node says so, what runs runs on and can end, what cannot start does when it answers again. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { findBinary } from '#node-agent/runtime/binaries.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, eventually, isReady, processes, row, traffic } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let directory: string
/** As long as it is there, runc does nothing. */
let hanging: string
/** No other command line has it. */
const asleep = '98765.4321'

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'cox-e2e-runc-'))
  hanging = path.join(directory, 'hanging')
  const runc = path.join(directory, 'runc')
  await writeFile(runc, `#!/bin/sh\n[ ! -e ${hanging} ] || exec sleep ${asleep}\nexec ${findBinary('runc')} "$@"\n`)
  await chmod(runc, 0o755)
  cluster = await startCluster({ nodes: 1, within: ['env', `PATH=${directory}:${process.env['PATH']}`] })
  client = clientOf(cluster)
}, 150_000)
afterAll(async () => {
  await rm(hanging, { force: true })
  await cluster?.stop()
  await rm(directory, { recursive: true })
}, 60_000)

/** A pod that stays where it is when its node is not ready. */
const make = (name: string, container: object): Promise<Pod> =>
  client.create(pods, 'default', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName: 'node-1',
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'main', ...container }],
    },
  } as never)
const pod = (name: string): Promise<Pod> => client.get(pods, 'default', name)
const ready = async () => (await client.get(nodes, '', 'node-1')).status?.conditions?.find(c => c.type === 'Ready')
const sleepers = async (): Promise<string[]> => {
  const commands = (await readdir('/proc'))
    .filter(name => /^\d+$/.test(name))
    .map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))
  return (await Promise.all(commands)).filter(command => command.includes(asleep))
}
const patient = 150_000

row('the container runtime hangs', 400_000, async round => {
  const [steady, leaves, waits] = ['steady', 'leaves', 'waits'].map(name => `${name}-${round}`) as [string, string, string]
  await make(steady, { image: 'registry.k8s.io/echoserver:1.10' })
  await make(leaves, { image: 'busybox', command: ['sleep', '100000'] })
  for (const name of [steady, leaves]) await eventually(async () => isReady(await pod(name)), `${name} is Ready`)
  const before = processes(await cluster.ps(), name => name === steady)
  const served = traffic(`http://${(await pod(steady)).status?.podIP}:8080/`)
  await writeFile(hanging, '')
  try {
    await make(waits, { image: 'busybox', command: ['sleep', '100000'] })
    await eventually(async () => (await ready())?.status === 'False', 'the node is not ready', patient)
    expect(await ready()).toMatchObject({ reason: 'KubeletNotReady' })
    expect((await ready())?.message).toMatch(/^container runtime is down: .*runc --version: killed by SIGKILL \(deadline 30000 ms\)/)
    const told = 'runc create: no answer within 30 s: context deadline exceeded'
    await eventually(async () => (await cluster.kubectl('describe', 'pod', waits)).includes(`Error: ${told}`), `${waits} says why`, patient)
    expect((await pod(waits)).status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, lastState: {} })
    await client.delete(pods, 'default', leaves)
    await eventually(async () => (await client.list(pods, 'default')).items.every(p => p.metadata.name !== leaves), `${leaves} is gone`)
  } finally {
    await rm(hanging)
  }
  await eventually(async () => (await ready())?.status === 'True', 'the node is Ready again', patient)
  await eventually(async () => isReady(await pod(waits)), `${waits} is Ready`, patient)
  await eventually(async () => (await sleepers()).length === 0, 'no call that hung is left', patient)
  await served.stop()
  expect(served.failures).toEqual([])
  expect(processes(await cluster.ps(), name => name === steady)).toEqual(before)
  for (const name of [steady, waits]) expect((await pod(name)).status?.containerStatuses?.[0]?.restartCount, name).toBe(0)
  for (const name of [steady, waits]) await client.delete(pods, 'default', name)
})
