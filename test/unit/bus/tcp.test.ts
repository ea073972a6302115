import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { TcpTransport } from '#shared/bus/tcp.ts'

test('an attempt to connect that is given up ends, also at the server', async () => {
  // A server that never says who it is.
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const transport = new TcpTransport()
  const failed = transport.connect({ hostname: '127.0.0.1', port: (server.address() as AddressInfo).port, tlsName: '' }, {}).then(
    () => 'connected',
    (e: unknown) => e,
  )
  const [socket] = await accepted
  socket.resume()
  await transport.close(new Error('too late'))
  expect(await failed).toBeInstanceOf(Error)
  await once(socket, 'close')
  server.close()
})

test('one that has not reached the server ends as well', async () => {
  const transport = new TcpTransport()
  // Nothing answers there: TEST-NET-1.
  const failed = transport.connect({ hostname: '192.0.2.1', port: 4222, tlsName: '' }, {}).then(
    () => 'connected',
    (e: unknown) => e,
  )
  await transport.close(new Error('too late'))
  expect(await failed).toBeInstanceOf(Error)
})
