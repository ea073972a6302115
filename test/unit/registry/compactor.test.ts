import { expect, test } from 'vitest'
import type { BusConnection } from '#shared/bus/connection.ts'
import { Compactor } from '#control-plane/apiserver/registry/compactor.ts'
import { silent } from '../../integration/registry/setup.ts'

test('a pass that the store interrupts is done again by the next one', async () => {
  let fail = true
  const purged: string[] = []
  const request = async (_subject: string, body: string) => {
    const { filter, seq } = JSON.parse(body) as { filter: string; seq: number }
    if (fail && filter.endsWith('b')) throw new Error('no answer')
    purged.push(`${filter.split('.').at(-1)} before ${seq}`)
    return { json: () => ({}) }
  }
  // Only what the compactor uses of a connection.
  const connection = { connected: true, nats: { info: { version: '2.9.15' }, request } } as unknown as BusConnection
  const compactor = new Compactor(
    connection,
    silent,
    { windowMs: 1000, maxVersions: 1000, tombstones: true, possible: () => true },
    () => {},
  )
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    compactor.saw(`registry.x.y.z.${name}`, i + 1, 0, 0, false, true)
    compactor.saw(`registry.x.y.z.${name}`, i + 4, 0, i + 1, false, true)
  }
  await compactor.run(10_000)
  expect(purged).not.toContain('b before 5')
  fail = false
  await compactor.run(10_000)
  expect(purged.toSorted()).toEqual(['a before 4', 'b before 5', 'c before 6'])
  await compactor.run(10_000)
  expect(purged).toHaveLength(3)
  compactor.close()
})
