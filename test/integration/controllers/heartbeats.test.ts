import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import { configMaps, leases } from '#shared/api/kinds.ts'
import { newClient } from '#shared/client/rest.ts'
import { letEverybody } from '../apiserver/setup.ts'
import { startControl, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
})
afterAll(() => c?.stop())

test('a renewal of a lease goes before the requests that came before it', async () => {
  const other = newClient(natsTransport(await c.api.nats.connect('system:kube-controller-manager')))
  await letEverybody(c.api.rest)
  const namespace = 'kube-system'
  const lease = await c.client.create(leases, namespace, {
    metadata: { name: 'leader', namespace },
    spec: { holderIdentity: 'a' },
  } as never)
  // More of one flow at once are turned away.
  const count = 600
  const data = { text: 'x'.repeat(10_000) }
  let answered = 0
  const creates = Array.from({ length: count }, (_, i) =>
    other.create(configMaps, namespace, { metadata: { name: `many-${i}`, namespace }, data } as never).then(() => answered++),
  )
  // The first of them are under way.
  await creates[0]
  await c.client.update(leases, { ...lease, spec: { ...lease.spec, holderIdentity: 'b' } })
  const overtaken = count - answered
  await Promise.all(creates)
  expect(overtaken).toBeGreaterThan(count / 2)
})
