/** Probes against real servers on the loopback interface. */
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ContainerRuntime } from '#node-agent/runtime/runtime.ts'
import { containerProbes } from '#node-agent/kubelet/probes/containerprobes.ts'
import { probeGrpc } from '#node-agent/kubelet/probes/grpc.ts'
import { httpTarget, probeHttp } from '#node-agent/kubelet/probes/http.ts'
import { resolvePort, runProbe } from '#node-agent/kubelet/probes/prober.ts'
import { probeTcp } from '#node-agent/kubelet/probes/tcp.ts'

let server: Server
let port: number
beforeAll(async () => {
  server = createServer((request, response) => {
    const { url = '' } = request
    if (url === '/slow') return
    if (url === '/endless') return response.write('x'.repeat(20_000))
    if (url === '/once') return response.writeHead(302, { location: '/final' }).end()
    if (url === '/loop') return response.writeHead(302, { location: '/loop' }).end()
    if (url === '/away') return response.writeHead(302, { location: 'http://other.invalid/' }).end('gone')
    return response.writeHead(Number(url.slice(1)) || 200).end(JSON.stringify(request.headers))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})
const http = (path: string, timeoutMs = 1000) => probeHttp(httpTarget({ port, path }, '127.0.0.1', port), timeoutMs)

test('httpGet: codes, redirects, time', async () => {
  expect(await http('/200')).toMatchObject({ result: 'success' })
  expect(await http('/399')).toMatchObject({ result: 'success' })
  expect(await http('/500')).toEqual({ result: 'failure', output: 'HTTP probe failed with statuscode: 500' })
  expect(await http('/once')).toMatchObject({ result: 'success' })
  expect(await http('/loop')).toEqual({ result: 'failure', output: 'Get "/loop": stopped after 10 redirects' })
  expect(await http('/away')).toEqual({ result: 'success', output: 'Probe terminated redirects, Response body: gone', warning: true })
  const tls = httpTarget({ port, path: '/200', scheme: 'HTTPS' }, '127.0.0.1', port)
  expect(await probeHttp(tls, 1000)).toEqual({
    result: 'failure',
    output: `Get "https://127.0.0.1:${port}/200": http: server gave HTTP response to HTTPS client`,
  })
  // Of an answer without end the beginning is enough.
  expect(await http('/endless')).toEqual({ result: 'success', output: 'x'.repeat(10 * 1024) })
  expect(await http('/slow', 50)).toEqual({
    result: 'failure',
    output: `Get "http://127.0.0.1:${port}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
  })
})

test('httpGet: headers', async () => {
  const sent = async (...httpHeaders: { name: string; value: string }[]) => {
    const { output } = await probeHttp(httpTarget({ port, httpHeaders }, '127.0.0.1', port), 1000)
    return JSON.parse(output) as object
  }
  expect(await sent()).toMatchObject({ 'user-agent': 'kube-probe/1.35', accept: '*/*' })
  expect(await sent({ name: 'Host', value: 'a.example' }, { name: 'User-Agent', value: 'me' })).toMatchObject({
    host: 'a.example',
    'user-agent': 'me',
  })
  expect(await sent({ name: 'Accept', value: '' })).not.toHaveProperty('accept')
  expect(await sent({ name: 'X-A', value: '1' }, { name: 'x-a', value: '2' })).toMatchObject({ 'x-a': '1, 2' })
})

test('a port that nobody listens on', async () => {
  const closed = createServer()
  await new Promise<void>(resolve => closed.listen(0, '127.0.0.1', resolve))
  const { port: free } = closed.address() as AddressInfo
  await new Promise(resolve => closed.close(resolve))
  const refused = `dial tcp 127.0.0.1:${free}: connect: connection refused`
  expect(await probeTcp('127.0.0.1', free, 1000)).toEqual({ result: 'failure', output: refused })
  expect(await probeHttp(httpTarget({ port: free }, '127.0.0.1', free), 1000)).toEqual({
    result: 'failure',
    output: `Get "http://127.0.0.1:${free}/": ${refused}`,
  })
  expect(await probeTcp('127.0.0.1', port, 1000)).toEqual({ result: 'success', output: '' })
})

test('grpc health: an answer without end', async () => {
  const grpc = createHttp2Server()
  let sent = 0
  grpc.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    const more = (): void => {
      while (!stream.destroyed && (sent += 1 << 16) && stream.write(Buffer.alloc(1 << 16, 1)));
    }
    stream.on('drain', more).on('error', () => {})
    more()
  })
  await new Promise<void>(resolve => grpc.listen(0, '127.0.0.1', resolve))
  const { port: at } = grpc.address() as AddressInfo
  const { result, output } = await probeGrpc('127.0.0.1', at, '', 60_000)
  expect(result).toBe('failure')
  expect(output).toMatch(/^error: health rpc probe failed: .*: received message larger than max/)
  expect(sent).toBeLessThan(1 << 24)
  await new Promise(resolve => grpc.close(resolve))
})

test('grpc health', async () => {
  let answer = 1
  const asked: Buffer[] = []
  const grpc = createHttp2Server()
  grpc.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('data', (data: Buffer) => asked.push(data))
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, answer]))
  })
  await new Promise<void>(resolve => grpc.listen(0, '127.0.0.1', resolve))
  const { port: at } = grpc.address() as AddressInfo
  expect(await probeGrpc('127.0.0.1', at, 'x', 1000)).toEqual({ result: 'success', output: 'service healthy' })
  // A length of 200 takes two bytes.
  await probeGrpc('127.0.0.1', at, 's'.repeat(200), 1000)
  expect(asked.map(a => a.subarray(5).toString('latin1'))).toEqual(['\n\x01x', `\n\xc8\x01${'s'.repeat(200)}`])
  answer = 2
  expect(await probeGrpc('127.0.0.1', at, '', 1000)).toEqual({
    result: 'failure',
    output: 'service unhealthy (responded with "NOT_SERVING")',
  })
  await new Promise(resolve => grpc.close(resolve))
  const notConnected = {
    result: 'failure',
    output: `timeout: failed to connect service "127.0.0.1:${at}" within 1m0s: context deadline exceeded`,
  }
  expect(await probeGrpc('127.0.0.1', at, '', 60_000)).toEqual(notConnected)
})

test('grpc health of a server that does not answer', async () => {
  const silent = createHttp2Server().on('stream', () => {})
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as AddressInfo
  expect(await probeGrpc('127.0.0.1', port, '', 300)).toEqual({
    result: 'failure',
    output: 'timeout: health rpc did not complete within 300ms',
  })
  await new Promise(resolve => silent.close(resolve))
})

test('ports by name, and what cannot be probed', async () => {
  const named = { name: 'c', ports: [{ name: 'web', containerPort: 8080 }] }
  expect([resolvePort(80, named), resolvePort('81', named), resolvePort('web', named)]).toEqual([80, 81, 8080])
  expect(() => resolvePort('no', named)).toThrow("couldn't find port: no")
  const target = { runtime: {} as ContainerRuntime, directory: '', container: named, podIP: '127.0.0.1' }
  expect(await runProbe({ tcpSocket: { port: 'no' } }, target)).toMatchObject({ result: 'unknown' })
  expect(await runProbe({}, target)).toEqual({ result: 'unknown', output: 'missing probe handler' })
})

test('liveness and readiness wait for the startup probe, and are ready at once when they were before', async () => {
  const asked: string[] = []
  let started = false
  const probe = (name: string) => ({ exec: { command: [name] }, periodSeconds: 1 })
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const probes = containerProbes(
    { startupProbe: probe('startup'), readinessProbe: probe('readiness'), livenessProbe: probe('liveness') },
    {
      startedAt: Date.now(),
      run: async p => {
        const name = p.exec!.command![0]!
        if (name !== 'startup' && !started) throw new Error(`${name} came before startup`)
        asked.push(name)
        started ||= asked.length > 1
        return { result: name === 'startup' && !started ? 'failure' : 'success', output: '' }
      },
      onChange: () => probes.result('readiness') === 'success' && resolve(),
      onNotice: () => expect.fail('the first look is not counted'),
    },
  )
  expect([probes.result('startup'), probes.result('liveness'), probes.result('readiness')]).toEqual(['unknown', 'success', 'failure'])
  await ready
  probes.stop()
  expect(probes.result('startup')).toBe('success')
  const again = containerProbes(
    { readinessProbe: probe('readiness') },
    { startedAt: Date.now(), ready: true, run: async () => ({ result: 'success', output: '' }), onChange: () => {}, onNotice: () => {} },
  )
  expect(again.result('readiness')).toBe('success')
  again.stop()
})
