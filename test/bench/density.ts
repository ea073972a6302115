/** One node full of pods: how soon they are Ready, what they cost while they do nothing, and what it costs to ask what they use. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pods } from '#shared/api/kinds.ts'
import { runTool } from '../fixtures/kubectl.ts'
import type { BenchCluster } from './cluster.ts'
import type { Measurement, Row } from './measurement.ts'
import { isReady, sleeper, watchPods } from './pods.ts'
import { inFlight } from './statistics.ts'

const MiB = 1048576
const first = 100
const all = 110
const endpoints = ['stats/summary', 'metrics', 'metrics/resource', 'metrics/probes', 'metrics/cadvisor']
/** As often as Prometheus asks at most. */
const scrapeMs = 10_000

/** Seconds of CPU that a process has used, with the children it has waited for. */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) / 100
}

export const measureDensity: Measurement = async bench => {
  const { cluster, client, sizes, say } = bench
  const namespace = await bench.namespace()
  const agent = (await cluster.ps()).find(p => p.component === 'node-agent')!
  const nodeName = agent.node!
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const memory = async (): Promise<{ agent: number; shims: number }> => {
    const rows = await cluster.ps()
    const shims = rows.filter(p => p.component === 'shim' && p.node === nodeName)
    return { agent: rows.find(p => p.pid === agent.pid)!.pss, shims: shims.reduce((n, p) => n + p.pss, 0) }
  }
  const begin = await memory()
  const make = async (from: number, to: number): Promise<number> => {
    const began = performance.now()
    await inFlight(to - from, 16, i => client.create(pods, namespace, sleeper(namespace, `pod-${from + i}`, { nodeName })))
    await watch.until(known => [...known.values()].filter(isReady).length === to, `${to} pods are Ready`)
    return performance.now() - began
  }
  const readyMs = await make(0, first)
  const others = (await podsOn(cluster, nodeName)) - first
  const count = Math.min(all - others, all)
  if (count > first) await make(first, count)
  await delay(Math.min(sizes.seconds, 5) * 1000)
  const full = await memory()

  const rate = async (seconds: number): Promise<number> => {
    const [began, used] = [performance.now(), cpuSeconds(agent.pid)]
    await delay(seconds * 1000)
    return (100 * (cpuSeconds(agent.pid) - used)) / ((performance.now() - began) / 1000)
  }
  const idle = await rate(4 * sizes.seconds)
  say(`idle: ${idle.toFixed(2)} % of a core`)
  let bytes = 0
  const ask = async (): Promise<void> => {
    for (const endpoint of endpoints) {
      const path = `/api/v1/nodes/${nodeName}/proxy/${endpoint}`
      bytes += (await runTool('kubectl', cluster.dir.kubeconfig, ['get', '--raw', path])).stdout.length
    }
  }
  await ask()
  const rounds = Math.max(1, Math.round((4 * sizes.seconds) / (scrapeMs / 1000)))
  const used = cpuSeconds(agent.pid)
  const began = performance.now()
  for (let i = 0; i < rounds; i++) {
    await ask()
    await delay(Math.max(0, began + (i + 1) * scrapeMs - performance.now()))
  }
  const scraped = (100 * (cpuSeconds(agent.pid) - used)) / ((performance.now() - began) / 1000)
  say(`${(bytes / (rounds + 1) / 1e6).toFixed(1)} MB a round`)
  const rows: Row[] = [
    { name: `node: ${first} pods created to Ready`, unit: 's', value: readyMs / 1000, target: 6 },
    { name: `node: ${count} idle pods, of a core`, unit: '%', value: idle },
    { name: 'node: memory of its agent for each pod', unit: 'MiB', value: (full.agent - begin.agent) / MiB / count },
    { name: 'node: memory of its shims for each pod', unit: 'MiB', value: (full.shims - begin.shims) / MiB / count, target: 3 },
    { name: 'node: all metrics every 10 s, of a core', unit: '%', value: Math.max(0, scraped - idle) },
  ]
  return rows
}

const podsOn = async (cluster: BenchCluster, node: string): Promise<number> =>
  new Set((await cluster.ps()).filter(p => p.component === 'container' && p.node === node).map(p => `${p.namespace}/${p.pod}`)).size
