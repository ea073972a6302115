/** A cluster for the tests of controllers: how soon it is there, and what it takes, beside a Node process that does nothing. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { startTestCluster } from '../fixtures/testcluster.ts'
import type { LocalMeasurement } from './measurement.ts'
import { median } from './statistics.ts'

const rounds = 5
/** It has given back what its start took. */
const idleMs = 3000

/** Resident, MiB. */
function residentOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}
const childrenOf = (pid: number): number[] => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)

async function emptyNode(): Promise<{ seconds: number; resident: number }> {
  const began = performance.now()
  const child: ChildProcess = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)'])
  await once(child.stdout!, 'data')
  const seconds = (performance.now() - began) / 1000
  await delay(500)
  const resident = residentOf(child.pid!)
  child.kill()
  await once(child, 'exit')
  return { seconds, resident }
}

export const measureApiOnly: LocalMeasurement = async () => {
  const seconds: number[] = []
  const resident: number[] = []
  const empty = [await emptyNode()]
  for (let i = 0; i < rounds; i++) {
    empty.push(await emptyNode())
    const began = performance.now()
    const cluster = await startTestCluster('--api-only')
    seconds.push((performance.now() - began) / 1000)
    await delay(idleMs)
    const pid = cluster.process.pid!
    resident.push([pid, ...childrenOf(pid)].reduce((sum, one) => sum + residentOf(one), 0))
    await cluster.stop()
  }
  const floorName = 'an empty Node process'
  return [
    {
      name: 'cox up --api-only --ephemeral: ready',
      unit: 's',
      value: median(seconds),
      floor: median(empty.map(e => e.seconds)),
      floorName,
      target: 0.5,
    },
    {
      name: 'cox up --api-only --ephemeral: resident, with its nats-server',
      unit: 'MiB',
      value: median(resident),
      floor: median(empty.map(e => e.resident)),
      floorName,
      target: 100,
    },
  ]
}
