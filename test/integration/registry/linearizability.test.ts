/**
 * Two registries, as two API servers have them, on three nats-servers of which each is cut off from the others, hangs and dies in turn:
 * what clients see of a register is explained by one that does one thing at a time.
 */
import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import { WriteConflict, type Registry, type Stored } from '#control-plane/apiserver/registry/registry.ts'
import { findViolation } from '../../linearizability/check.ts'
import { describeViolation, History } from '../../linearizability/history.ts'
import { startNatsCluster, type NatsCluster } from '../../fixtures/natscluster.ts'
import { cutOff, healPartition } from '../../fixtures/partition.ts'
import { dataOf, object, pods, silent, until } from './setup.ts'

/** nats-server takes 4 to 9 s to elect another leader; the machine may be busy. */
const electionMs = 60_000
const names = ['a', 'b', 'c']

describe.skipIf(process.getuid?.() !== 0)('three nats-servers', () => {
  let cluster: NatsCluster
  let registries: Registry[] = []
  beforeAll(async () => {
    cluster = await startNatsCluster()
    registries = await Promise.all(
      [0, 1].map(async () => openRegistry({ connection: await cluster.connect('registry'), replicas: 3, log: silent })),
    )
  })
  afterAll(async () => {
    await healPartition()
    await Promise.all(registries.map(r => r.close()))
    await cluster?.stop()
  })

  const valueOf = (stored: Stored | undefined): string | null => (stored ? String(dataOf(stored.object)) : null)

  test('a register is a register, whichever is cut off, hangs or dies', async () => {
    const history = new History()
    let stop = false
    async function client(n: number): Promise<void> {
      const known = new Map<string, { value: string | null; version: number }>()
      for (let count = 0; !stop;) {
        const which = randomInt(registries.length)
        const [registry, name, by] = [registries[which]!, names[randomInt(names.length)]!, `c${n} by ${which}`]
        const last = known.get(name)
        if (!last || randomInt(10) < 4) {
          const read = async () => {
            await registry.fresh()
            return [registry.get(pods, 'k', name)] as const
          }
          await history.record(by, read, answer => {
            if (!answer) return []
            known.set(name, { value: valueOf(answer[0]), version: answer[0]?.version ?? 0 })
            return [[name, { kind: 'read', value: valueOf(answer[0]) }]]
          })
        } else {
          const to = last.value !== null && randomInt(10) === 0 ? null : `${n}.${++count}`
          const write = (): Promise<Stored> =>
            to === null
              ? registry.remove(pods, 'k', name, last.version)
              : registry.put(pods, 'k', name, object(name, to, 'k'), last.version)
          known.delete(name)
          await history.record(by, write, (answer, failure) => {
            if (answer) known.set(name, { value: to, version: to === null ? 0 : answer.version })
            const outcome = answer ? 'done' : failure instanceof WriteConflict ? 'refused' : 'unknown'
            return [[name, { kind: 'cas', from: last.value, to, outcome }]]
          })
        }
        await new Promise(resolve => setTimeout(resolve, randomInt(20)))
      }
    }
    const work = Promise.all(Array.from({ length: 6 }, (_, n) => client(n)))
    const done = (): number => history.operations.filter(o => o.action.kind === 'cas' && o.action.outcome === 'done').length
    const more = async (when: string): Promise<void> => {
      const before = done()
      await until(() => done() > before + 50, `changes ${when}`, electionMs)
    }
    try {
      await more('before')
      for (const n of [0, 1, 2]) {
        await cutOff(cluster.pid(n), cluster.routePorts[n]!, cluster.routePorts.toSpliced(n, 1))
        await more(`while ${n} is cut off`)
        await healPartition()
        await more(`when ${n} is back`)
        process.kill(cluster.pid(n), 'SIGSTOP')
        await more(`while ${n} hangs`)
        process.kill(cluster.pid(n), 'SIGCONT')
        await more(`when ${n} goes on`)
        await cluster.kill(n)
        await more(`without ${n}`)
        await cluster.start(n)
        await more(`with ${n} again`)
      }
    } finally {
      stop = true
      await work
    }
    const violation = findViolation(history.operations)
    expect(violation && describeViolation(violation)).toBeUndefined()
    const outcomes = history.operations.map(o => (o.action.kind === 'read' ? 'read' : o.action.outcome))
    for (const outcome of ['read', 'done', 'refused']) expect(outcomes, outcome).toContain(outcome)
  }, 600_000)
})
