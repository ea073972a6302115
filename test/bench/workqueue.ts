/**
 * What the work queue costs after a change of leader: every key of a large cluster is added, handed out and done. CPU time of this process.
 */
import { workQueue } from '#shared/client/workqueue.ts'
import type { LocalMeasurement } from './measurement.ts'

const keys = 150_000

export const measureWorkQueue: LocalMeasurement = async () => {
  const names = Array.from({ length: keys }, (_, i) => `namespace-${i % 500}/replicaset-${i}`)
  const queue = workQueue()
  const before = process.cpuUsage()
  for (const name of names) queue.add(name)
  for (let i = 0; i < keys; i++) queue.done((await queue.next())!)
  const { user, system } = process.cpuUsage(before)
  queue.shutDown()
  return [
    {
      name: `work queue: CPU of ${keys} keys`,
      unit: 's',
      value: (user + system) / 1e6,
      target: 0.2,
      floor: floor(names.map(name => `${name}-`)),
      floorName: 'the same keys put into a Map and taken out',
    },
  ]
}

function floor(names: readonly string[]): number {
  const entries = new Map<string, object>()
  const before = process.cpuUsage()
  for (const name of names) entries.set(name, { name })
  for (const name of names) entries.delete(name)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}
