/** From a Service that is created to its name, at the node's cluster DNS, from this machine. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decode, encode } from 'dns-packet'
import { services } from '#shared/api/kinds.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Client } from '#shared/client/client.ts'
import { clusterDnsPort } from '#shared/network/clusterdns.ts'
import { median } from './statistics.ts'

/** Milliseconds from the API's answer to the first answer of DNS, the median of `repeat`; `node` is a node's address. */
export async function nameAfterService(client: Client, namespace: string, node: string, repeat: number): Promise<number> {
  const socket = createSocket('udp4')
  socket.connect(clusterDnsPort, node)
  await once(socket, 'connect')
  const times: number[] = []
  try {
    for (let i = 0; i < repeat; i++) {
      const name = `named-${i}`
      await client.create(services, namespace, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: { ports: [{ port: 80 }] },
      } as unknown as Service)
      const start = performance.now()
      const query = encode({ type: 'query', id: i, flags: 256, questions: [{ name: `${name}.${namespace}.svc.cluster.local`, type: 'A' }] })
      // Each answer that it is not there yet asks again; a packet that got lost, too.
      for (let there = false; !there;) {
        socket.send(query)
        const [answer] = (await Promise.race([once(socket, 'message'), new Promise(resolve => setTimeout(resolve, 1000, []))])) as [Buffer?]
        there = answer !== undefined && decode(answer).id === i && (decode(answer).answers?.length ?? 0) > 0
      }
      times.push(performance.now() - start)
    }
  } finally {
    socket.close()
  }
  return median(times)
}
