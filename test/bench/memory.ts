/** Memory (PSS: shared pages are divided among those that share them) of each component, idle and with many pods stored. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pods } from '#shared/api/kinds.ts'
import type { BenchCluster } from './cluster.ts'
import type { Measurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { inFlight } from './statistics.ts'
import { until } from './until.ts'

const MiB = 1048576
/** A cluster needs a moment after its last work to give back what the work took. */
const settle = (seconds: number): Promise<void> => delay(Math.min(3, seconds) * 1000)

/** PSS by component, summed over its processes; pods are not counted. */
async function byComponent(cluster: BenchCluster): Promise<Map<string, { count: number; bytes: number }>> {
  const sums = new Map<string, { count: number; bytes: number }>()
  for (const { component, pss } of (await cluster.ps()).filter(p => !['container', 'shim', 'node'].includes(p.component))) {
    const { count, bytes } = sums.get(component) ?? { count: 0, bytes: 0 }
    sums.set(component, { count: count + 1, bytes: bytes + pss })
  }
  return sums
}

/** PSS of one of `count` Node processes that do nothing. */
async function emptyProcess(count: number): Promise<number> {
  const children = Array.from({ length: count }, () =>
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6); process.stdout.write("up")'], { stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  try {
    await Promise.all(children.map(child => new Promise(resolve => child.stdout.once('data', resolve))))
    await delay(200)
    return (
      children.reduce(
        (sum, { pid }) => sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024,
        0,
      ) / count
    )
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}

const isNode = (component: string): boolean => component !== 'nats-server' && component !== 'node-init'

function rowsOf(when: string, sums: Map<string, { count: number; bytes: number }>, floor: number, target?: number): Row[] {
  const all = [...sums.values()].reduce((sum, s) => sum + s.bytes, 0)
  const processes = [...sums].filter(([c]) => isNode(c)).reduce((n, [, s]) => n + s.count, 0)
  return [
    {
      name: `memory ${when}: everything`,
      unit: 'MiB',
      value: all / MiB,
      floor: (floor * processes) / MiB,
      floorName: `${processes} empty Node processes`,
      ...(target === undefined ? {} : { target }),
    },
    ...[...sums].map(([component, { count, bytes }]): Row => ({
      name: `memory ${when}: ${component}${count > 1 ? ` (${count})` : ''}`,
      unit: 'MiB',
      value: bytes / MiB,
      ...(isNode(component)
        ? { floor: (floor * count) / MiB, floorName: count > 1 ? `${count} empty Node processes` : 'an empty Node process' }
        : {}),
    })),
  ]
}

export const measureMemory: Measurement = async bench => {
  const { cluster, client, sizes, say } = bench
  await settle(sizes.seconds)
  const idle = await byComponent(cluster)
  const processes = [...idle].filter(([c]) => isNode(c)).reduce((n, [, s]) => n + s.count, 0)
  const floor = await emptyProcess(processes)
  const nodes = idle.get('node-agent')?.count ?? 0

  const namespace = await bench.namespace()
  say(`storing ${sizes.stored} pods`)
  await inFlight(sizes.stored, 16, i => client.create(pods, namespace, stored(namespace, `pod-${i}`)))
  await settle(sizes.seconds)
  const full = await byComponent(cluster)
  await client.deleteCollection(pods, namespace, { gracePeriodSeconds: 0 })
  await until(async () => (await client.list(pods, namespace, { limit: 1 })).items.length === 0, 'the stored pods are gone')
  return [...rowsOf(`idle, ${nodes} nodes`, idle, floor, 260), ...rowsOf(`with ${sizes.stored} pods stored`, full, floor)]
}
