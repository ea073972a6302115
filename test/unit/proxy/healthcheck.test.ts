import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { logger } from '#shared/component/log.ts'
import { serveHealthChecks } from '#node-agent/proxy/healthcheck.ts'
import { handInformer } from '../../integration/network/hand-informer.ts'

let stop = new AbortController()
afterEach(() => stop.abort())

const service = (healthCheckNodePort: number, externalTrafficPolicy = 'Local'): Service =>
  ({
    metadata: { name: 'web', namespace: 'ns' },
    spec: { type: 'LoadBalancer', externalTrafficPolicy, healthCheckNodePort },
  }) as unknown as Service
const slice = (...endpoints: object[]): EndpointSlice =>
  ({
    metadata: { name: 'web-1', namespace: 'ns', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints,
  }) as unknown as EndpointSlice
const at = (ip: string, nodeName: string, ready = true) => ({ addresses: [ip], nodeName, conditions: { ready } })
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('a node says how many endpoints it has for a balancer, as long as the Service wants that', async () => {
  stop = new AbortController()
  const [services, endpointSlices] = [handInformer<Service>(), handInformer<EndpointSlice>()]
  let healthy = true
  const recorder = { event() {} } as never
  serveHealthChecks({ services, endpointSlices, recorder, nodeName: 'n1', isHealthy: () => healthy, log: logger('test') }, stop.signal)
  const port = await freePort()
  services.set(service(port))
  const ask = () => fetch(`http://127.0.0.1:${port}/healthz`, { headers: { connection: 'close' } })
  const state = async () =>
    ask().then(
      async r => [r.status, ((await r.json()) as { localEndpoints: number }).localEndpoints],
      () => 'closed',
    )
  await expect.poll(state).toEqual([503, 0])
  endpointSlices.set(slice(at('10.0.0.1', 'n1'), at('10.0.0.2', 'n1', false), at('10.0.0.3', 'n2')))
  expect(await state()).toEqual([200, 1])
  // Pods have an address of each family, and count once.
  const six = slice(at('fd00::1', 'n1'), at('fd00::2', 'n1', false))
  endpointSlices.set({ ...six, metadata: { ...six.metadata, name: 'web-2' }, addressType: 'IPv6' })
  expect(await state()).toEqual([200, 1])
  const answer = await ask()
  expect(answer.headers.get('x-load-balancing-endpoint-weight')).toBe('1')
  expect(await answer.json()).toEqual({ service: { namespace: 'ns', name: 'web' }, localEndpoints: 1, serviceProxyHealthy: true })
  healthy = false
  expect(await state()).toEqual([503, 1])
  services.set(service(port, 'Cluster'))
  await expect.poll(state).toBe('closed')
})
