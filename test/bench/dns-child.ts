/** `dns`: cluster DNS over a view with one Service; `echo`: every packet comes back. Prints its port. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { BlockList } from 'node:net'
import type { Service } from '#shared/api/core/service.ts'
import { defaultCorefile, parseCorefile } from '#shared/network/corefile.ts'
import { answer } from '#node-agent/dns/answer.ts'
import { newRouter } from '#node-agent/dns/router.ts'
import { serveDns } from '#node-agent/dns/server.ts'

const web = { metadata: { name: 'web', namespace: 'default' }, spec: { clusterIP: '10.1.0.5', ports: [] } } as unknown as Service
const address = '127.0.0.1'

if (process.argv[2] === 'echo') {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  socket.on('message', (m, from) => socket.send(m, from.port, from.address))
  socket.bind(0, address)
  await once(socket, 'listening')
  process.stdout.write(`${socket.address().port}\n`)
} else {
  const corefile = parseCorefile(defaultCorefile('cluster.local'))
  const resolver = {
    view: {
      service: (namespace: string, name: string) => (namespace === 'default' && name === 'web' ? web : undefined),
      hasNamespace: (namespace: string) => namespace === 'default',
      endpoints: () => [],
      namesOf: () => [],
    },
    domain: 'cluster.local',
    corefile,
    ranges: new BlockList(),
    forwarder: newRouter(corefile, []),
    kept: new Map<string, Buffer>(),
  }
  // A port that is free for TCP, too, as far as anybody knows.
  const port = 20_000 + (process.pid % 10_000)
  await serveDns(
    address,
    port,
    (query, tcp) => answer(resolver, query, tcp),
    e => process.stderr.write(`${e.message}\n`),
    new AbortController().signal,
  )
  process.stdout.write(`${port}\n`)
}
