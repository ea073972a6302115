import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport, TransportError } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'
import { pods, replicaSets } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import { defaultSettings, runControllers } from '#control-plane/controller-manager/controllers.ts'
import { quiet, startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
})
afterAll(() => c?.stop())

/** The first create of a pod gets no answer, and is carried out only after its sender has looked for the pod and asked for another. */
function pausedAtFirstCreate(transport: Transport): Transport {
  let held: Parameters<Transport['request']>[0] | undefined
  let state: 'running' | 'paused' | 'over' = 'running'
  return {
    async request(request) {
      if (request.method !== 'POST' || !request.path.endsWith('/pods')) return transport.request(request)
      if (state === 'running') {
        state = 'paused'
        held = request
        throw new TransportError('lost', 'the API server is silent')
      }
      if (state === 'paused') {
        state = 'over'
        await transport.request(held!)
      }
      return transport.request(request)
    },
    close: () => transport.close(),
  }
}

test('a create that a paused API server carries out late makes no second pod', async () => {
  await c.control()
  await c.namespace('late')
  await c.stopControllers()
  const stop = new AbortController()
  const made = new Set<string>()
  startInformer(c.client, pods, { namespace: 'late', log: quiet }, stop.signal).subscribe(e => made.add(e.object.metadata.name!))
  const transport = pausedAtFirstCreate(natsTransport(await c.api.nats.connect('system:kube-controller-manager')))
  const done = runControllers(newClient(transport, { userAgent: 'kube-controller-manager' }), defaultSettings, stop.signal, quiet)
  await c.client.create(replicaSets, 'late', {
    metadata: { name: 'web' },
    spec: {
      replicas: 1,
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  } as never)
  await until('the replica set to be content', async () => {
    const { status, metadata } = await c.client.get(replicaSets, 'late', 'web')
    return status?.observedGeneration === metadata.generation && status?.replicas === 1
  })
  expect([...made]).toHaveLength(1)
  stop.abort()
  await done
})
