/**
 * kube-proxy's `userspace` backend with real connections, as an ordinary user: ClusterIPs are loopback addresses, which Linux has all of.
 */
import { randomBytes } from 'node:crypto'
import { connect, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { logger } from '#shared/component/log.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { startUserspaceProxy } from '#node-agent/proxy/userspace.ts'
import { handInformer } from '../network/hand-informer.ts'

const clusterIP = `127.${200 + (process.pid % 50)}.${process.pid % 250}.9`
const services = handInformer<Service>()
const slices = handInformer<EndpointSlice>()
const events: string[] = []
const end = new AbortController()
const servers: Server[] = []
/** Endpoints have one port and many addresses, as in a cluster. */
const port = 20_000 + (process.pid % 10_000)
const backend = (n: number): string => `127.9.${process.pid % 250}.${n}`

async function serve(host: string, at: number, name: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    if (name === 'echo') socket.pipe(socket)
    else socket.end(name)
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at, host, resolve))
  servers.push(server)
  return server
}
/** What a connection gets, or the error's code. */
const ask = (host: string, at: number, say?: Buffer): Promise<string> =>
  new Promise(resolve => {
    const parts: Buffer[] = []
    const socket = connect({ host, port: at, allowHalfOpen: true, timeout: 5000 })
    socket
      .on('data', d => parts.push(Buffer.from(d)))
      .on('error', e => resolve((e as NodeJS.ErrnoException).code!))
      .on('timeout', () => resolve('timeout'))
    socket.on('end', () => resolve(Buffer.concat(parts).toString()))
    socket.end(say ?? '')
  })
const names = async (at: number, times: number): Promise<string[]> =>
  [...new Set(await Promise.all(Array.from({ length: times }, () => ask(clusterIP, at))))].sort()
const service = (spec: object = {}): Service =>
  ({
    metadata: { name: 'web', namespace: 'default' },
    spec: { clusterIP, ports: [{ port: 8000, protocol: 'TCP' }], ...spec },
  }) as unknown as Service
const slice = (...addresses: string[]): EndpointSlice =>
  ({
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port }],
    endpoints: addresses.map(a => ({ addresses: [a], nodeName: 'n1', conditions: { ready: true } })),
  }) as unknown as EndpointSlice

beforeAll(async () => {
  await Promise.all([serve(backend(1), port, 'one'), serve(backend(2), port, 'two'), serve(backend(3), port, 'echo')])
  const recorder = {
    event: (object: { metadata: { name?: string } }, type: string, reason: string, message: string) =>
      void events.push(`${type} ${reason} ${object.metadata.name} ${message}`),
  }
  await startUserspaceProxy(
    {
      services,
      endpointSlices: slices,
      nodes: handInformer<Node>(),
      status: newProxyStatus(),
      recorder: recorder as never,
      nodeName: 'n1',
      nodeAddresses: ['127.0.0.1'],
      log: logger('test'),
    },
    end.signal,
  ).synced
})
afterAll(() => {
  end.abort()
  for (const server of servers) server.close()
})

test('nobody is there before there are endpoints, and after', async () => {
  services.set(service())
  expect(await ask(clusterIP, 8000)).toBe('ECONNREFUSED')
  slices.set(slice(backend(1)))
  await expect.poll(() => ask(clusterIP, 8000)).toBe('one')
  slices.set(slice())
  await expect.poll(() => ask(clusterIP, 8000)).toBe('ECONNREFUSED')
})

test('connections spread, and go on to those that answer', async () => {
  slices.set(slice(backend(1), backend(2)))
  await expect.poll(() => names(8000, 40)).toEqual(['one', 'two'])
  slices.set(slice(backend(1), backend(77)))
  await expect.poll(() => names(8000, 40)).toEqual(['one'])
})

test('session affinity', async () => {
  services.set(service({ sessionAffinity: 'ClientIP' }))
  slices.set(slice(backend(1), backend(2)))
  await expect.poll(async () => (await names(8000, 40)).length).toBe(1)
})

test('megabytes go both ways, and each side may stop first', async () => {
  services.set(service())
  slices.set(slice(backend(3)))
  // Nothing that repeats: memory used again too early would show.
  const data = Buffer.from(randomBytes(6 << 20).toString('base64'))
  await expect.poll(() => ask(clusterIP, 8000, Buffer.from('x'))).toBe('x')
  expect((await ask(clusterIP, 8000, data)) === data.toString()).toBe(true)
})

test('node ports', async () => {
  const nodePort = 30_000 + (process.pid % 2700)
  services.set(service({ ports: [{ port: 8000, protocol: 'TCP', nodePort }] }))
  slices.set(slice(backend(1)))
  await expect.poll(() => ask('127.0.0.1', nodePort)).toBe('one')
})

test('a place that cannot be had is told of once', async () => {
  await serve(clusterIP, 8001, 'stranger')
  services.set(
    service({
      ports: [
        { port: 8001, protocol: 'TCP' },
        { port: 1, protocol: 'TCP' },
        { port: 8002, protocol: 'TCP' },
      ],
    }),
  )
  await expect.poll(() => events.length).toBe(2)
  expect(await ask(clusterIP, 8001)).toBe('stranger')
  expect(await ask(clusterIP, 8002)).toBe('one')
  slices.set(slice(backend(2)))
  await expect.poll(() => ask(clusterIP, 8002)).toBe('two')
  expect(events.sort()).toEqual([
    `Warning FailedToListen web ClusterIP ${clusterIP}:1 is not served on node n1: the system gives ports below 1024 to root only (sysctl net.ipv4.ip_unprivileged_port_start=1 gives 1 to everybody); a Service's port from 1024 on, or its node port, works`,
    `Warning FailedToListen web ClusterIP ${clusterIP}:8001 is not served on node n1: another process listens there`,
  ])
})
