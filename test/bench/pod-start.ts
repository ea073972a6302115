/**
 * From the create of a pod to Ready, one at a time: of a host image, of an image of the store, as plain processes, by turns; and what that
 * takes of their node.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RuntimeClass } from '#shared/api/node/runtimeclass.ts'
import { pods, runtimeClasses } from '#shared/api/kinds.ts'
import { busyboxLayer, dockerArchive } from '../fixtures/images.ts'
import type { BenchCluster } from './cluster.ts'
import { cpuSeconds } from './density.ts'
import { openRunc } from './floor/runc.ts'
import type { Bench, Measurement, Row } from './measurement.ts'
import { isReady, podOf, sleeper, watchPods } from './pods.ts'
import { percentile } from './statistics.ts'

const storedImage = 'bench/busybox:1'

/** `docker save busybox | cox image load`, until the end of the measurement. */
async function loadImage({ cluster, afterwards }: Bench): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'cox-bench-image-'))
  try {
    const image = { layers: [busyboxLayer()], config: { Env: ['PATH=/bin'], Cmd: ['sleep', '100000'] } }
    const file = path.join(directory, 'archive.tar')
    await writeFile(file, dockerArchive(storedImage, image))
    await cluster.cox('image', 'load', file)
    afterwards(() => cluster.cox('image', 'rm', storedImage))
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** A RuntimeClass whose pods are plain processes, until the end of the measurement. */
async function processClass({ client, afterwards }: Bench, name: string): Promise<string> {
  await client.create(runtimeClasses, '', { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler: 'process' } as RuntimeClass) // prettier-ignore
  afterwards(() => client.delete(runtimeClasses, '', name))
  return name
}

/** Seconds of CPU of all node-agents, with what they have started and waited for. */
const agentsCpu = (agents: readonly number[]): number => agents.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
const agentsOf = async (cluster: BenchCluster): Promise<number[]> =>
  (await cluster.ps()).filter(p => p.component === 'node-agent').map(p => p.pid)

export const measurePodStart: Measurement = async bench => {
  const { cluster, client, sizes } = bench
  const namespace = await bench.namespace()
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const runc = await openRunc()
  bench.afterwards(runc.close)
  const floors: number[] = []
  const agents = await agentsOf(cluster)

  interface Series {
    readonly kind: string
    readonly spec: object
    readonly ready: number[]
    readonly gone: number[]
    cpu: number
  }
  const kinds: Series[] = []
  /** Adds the times of one pod's life, ms, and the agents' CPU for it, s. */
  async function live(series: Series, i: number): Promise<void> {
    const name = `${series.kind}-${i}`
    // One at a time: what the last one leaves the nodes to do, networks and shims for the next, is done.
    await delay(500)
    const cpu = agentsCpu(agents)
    const began = performance.now()
    await client.create(pods, namespace, podOf(namespace, name, series.spec))
    await watch.until(all => {
      const pod = all.get(name)
      return pod !== undefined && isReady(pod)
    }, `${name} is Ready`)
    const up = performance.now()
    await client.delete(pods, namespace, name)
    await watch.until(all => !all.has(name), `${name} is gone`)
    const end = performance.now()
    const floor = await runc.run()
    // The first pod of an image lays it out.
    if (i === 0) return
    series.ready.push(up - began)
    series.gone.push(end - up)
    series.cpu += agentsCpu(agents) - cpu
    floors.push(floor)
  }

  await loadImage(bench)
  const runtimeClassName = await processClass(bench, namespace)
  const kind = (name: string, spec: object): Series => {
    const series = { kind: name, spec, ready: [], gone: [], cpu: 0 }
    kinds.push(series)
    return series
  }
  const host = kind('host', sleeper(namespace, '').spec)
  const stored = kind('stored', { containers: [{ name: 'main', image: storedImage }] })
  const process = kind('process', { ...sleeper(namespace, '').spec, runtimeClassName })
  // By turns: what else the machine does meets all of them alike.
  for (let i = 0; i <= sizes.repeat; i++) for (const series of kinds) await live(series, i)
  const row = (what: string, samples: number[], p: number, target?: number): Row => ({
    name: `${what}, p${p * 100}`,
    unit: 'ms',
    value: percentile(samples, p),
    floor: percentile(floors, p),
    floorName: '`runc run` of `true` to its end',
    ...(target === undefined ? {} : { target }),
  })
  const cpu = (what: string, series: Series): Row => ({
    name: `${what}: CPU of the node-agent for a pod's life`,
    unit: 'ms',
    value: (1000 * series.cpu) / sizes.repeat,
  })
  return [
    row('pod: create to Ready', host.ready, 0.5, 90),
    row('pod: create to Ready', host.ready, 0.99),
    row('pod: delete to gone', host.gone, 0.5),
    cpu('pod', host),
    row('pod of a stored image: create to Ready', stored.ready, 0.5, 120),
    cpu('pod of a stored image', stored),
    row('pod of plain processes: create to Ready', process.ready, 0.5, 60),
    cpu('pod of plain processes', process),
  ]
}
