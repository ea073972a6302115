/**
 * `npm run bench -- --against DIR`: the same load on the same machine by turns against Kubernetes' own API server with etcd. Its figure
 * stands where other measurements have their floor, so that 300% is three times as fast.
 */
import { readFileSync } from 'node:fs'
import { pods, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startKubernetes } from './against/kubernetes.ts'
import type { Measurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { cpuMs } from './processortime.ts'
import { inFlight, median } from './statistics.ts'
import { administratorToken } from './token.ts'
import { until } from './until.ts'
import { wrk } from './wrk.ts'

const connections = 16
const rounds = 3
const floorName = 'Kubernetes 1.20.2 with etcd'
const MiB = 1048576

interface Contender {
  readonly url: string
  readonly client: Client
  readonly authorization: string
  readonly namespace: string
  /** Of the control plane, now: its processes may be restarted. */
  pids(): Promise<readonly number[]>
}

const memory = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024, 0)

export const measureAgainst =
  (build: string): Measurement =>
  async bench => {
    const { cluster, sizes, say, afterwards } = bench
    const namespace = await bench.namespace()
    const ours: Contender = {
      url: cluster.url(),
      client: bench.client,
      namespace,
      authorization: await administratorToken(bench, namespace),
      pids: async () => (await cluster.ps()).filter(p => /^(nats-server|kube-)/.test(p.component)).map(p => p.pid),
    }
    const kubernetes = await startKubernetes(build)
    afterwards(() => kubernetes.stop())
    await kubernetes.client.raw('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
    const account = () => kubernetes.client.get(serviceAccounts, namespace, 'default').then(a => (a as { secrets?: unknown[] }).secrets !== undefined, () => false) // prettier-ignore
    await until(account, `Kubernetes' ServiceAccount of ${namespace}`)
    const theirs: Contender = { ...kubernetes, namespace, pids: async () => kubernetes.pids }
    const contenders = [ours, theirs]

    const idle = await Promise.all(contenders.map(async c => memory(await c.pids())))
    for (const c of contenders)
      await inFlight(sizes.listed, connections, i => c.client.create(pods, namespace, stored(namespace, `pod-${i}`)))
    const at = (name = ''): string => `/api/v1/namespaces/${namespace}/pods${name && `/${name}`}`
    const body = JSON.stringify(stored(namespace, '%NAME%'))
    const loads = { 'create pod': '', 'get pod': at('pod-0'), [`list of ${sizes.listed} pods`]: `${at()}?limit=${sizes.listed}` }
    const rates = new Map(Object.keys(loads).map(name => [name, contenders.map((): number[] => [])]))
    const cpu = contenders.map((): number[] => [])
    for (let round = 0; round <= rounds; round++) {
      for (const [name, path] of Object.entries(loads)) {
        for (const [i, c] of contenders.entries()) {
          const creates = path === ''
          const pids = await c.pids()
          const before = cpuMs(pids)
          const { perSecond } = await wrk({
            url: `${c.url}${creates ? at() : path}`,
            connections,
            seconds: sizes.seconds,
            headers: { Authorization: c.authorization },
            ...(creates ? { body, prefix: `r${round}-` } : {}),
          })
          const ms = (cpuMs(pids) - before) / (perSecond * sizes.seconds)
          // The first round warms both up.
          if (round === 0) continue
          rates.get(name)![i]!.push(perSecond)
          if (creates) cpu[i]!.push(ms)
          say(`${name}: ${i === 0 ? 'coxswain' : 'Kubernetes'} ${perSecond.toFixed(0)}/s, ${ms.toFixed(2)} ms of processor time each`)
        }
      }
    }
    const loaded = await Promise.all(contenders.map(async c => memory(await c.pids())))
    const row = (name: string, unit: Row['unit'], [value, floor]: readonly number[], target?: number): Row => ({
      name: `against: ${name}`,
      unit,
      value: value!,
      floor: floor!,
      floorName,
      ...(target === undefined ? {} : { target }),
    })
    return [
      ...[...rates].map(([name, of]) => row(name, '/s', of.map(median), name === 'create pod' ? 3 * median(of[1]!) : undefined)),
      row('processor time of a create', 'ms', cpu.map(median)),
      row('memory idle', 'MiB', idle),
      row('memory after the load', 'MiB', loaded),
    ]
  }
