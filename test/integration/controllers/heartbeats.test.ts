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
  const connections = await Promise.all(['system:kube-controller-manager', 'system:kube-scheduler'].map(c.api.nats.connect))
  const others = connections.map(connection => newClient(natsTransport(connection)))
  await letEverybody(c.api.rest)
  const namespace = 'kube-system'
  const lease = await c.client.create(leases, namespace, {
    metadata: { name: 'leader', namespace },
    spec: { holderIdentity: 'a' },
  } as never)
  // Of more of one flow some may be turned away.
  const count = 600
  const data = { text: 'x'.repeat(10_000) }
  let answered = 0
  const creates = Array.from({ length: count }, (_, i) =>
    others[i % 2]!.create(configMaps, namespace, { metadata: { name: `many-${i}`, namespace }, data } as never).then(() => answered++),
  )
  // The first of them are under way.
  await creates[0]
  await c.client.update(leases, { ...lease, spec: { ...lease.spec, holderIdentity: 'b' } })
  const overtaken = count - answered
  await Promise.all(creates)
  // In its turn it would come last.
  expect(overtaken).toBeGreaterThan(count / 10)
})
