/**
 * The internet, for specs that look whether it is there before they begin (`GET http://google.com`): a proxy of this machine that answers
 * everything with 200. What the cluster's own addresses answer is not asked of it.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Internet {
  /** For the environment of a spec's process. */
  env: { HTTP_PROXY: string; NO_PROXY: string }
  close(): void
}

export async function standInternet(): Promise<Internet> {
  const server = createServer((_, response) => response.end('ok\n')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    env: {
      HTTP_PROXY: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      NO_PROXY: '10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,172.16.0.0/12,192.168.0.0/16',
    },
    close: () => (server.closeAllConnections(), server.close()),
  }
}
