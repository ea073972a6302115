/** Heartbeats of a node while another client has 500 requests under way: how much later they are answered than without it. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Transport } from '#shared/bus/transport.ts'
import { aloneApiServer, type Alone } from './alone.ts'
import type { Flood, FloodedRequest } from './flood.ts'
import type { LocalMeasurement, Row } from './measurement.ts'
import { percentile } from './statistics.ts'

const [loadMs, heartbeats, everyMs] = [1000, 500, 10]
const configMaps = '/api/v1/namespaces/default/configmaps'
const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1'

/**
 * Keeps 500 requests under way, from a process of its own, so that only the server stands between them and the heartbeats. Resolves with
 * how to stop, which tells how many were answered, by code.
 */
function startFlood(server: Alone, tls: Alone['tls'], request: FloodedRequest): () => Promise<string> {
  const child = fork(path.join(import.meta.dirname, 'flood.ts'))
  child.send({ url: server.url, tls, request } satisfies Flood)
  return async () => {
    child.send('stop')
    const [codes] = (await once(child, 'message')) as [[number, number][]]
    child.kill()
    return codes.map(([code, n]) => `${code}: ${n}`).join(', ')
  }
}

/** Renews a Lease as a kubelet does, over NATS; resolves with how long each took, ms. */
async function beat(node: Transport): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < heartbeats; i++) {
    const began = performance.now()
    const { code } = await node.request({
      method: 'PATCH',
      path: lease,
      query: new URLSearchParams(),
      headers: { 'content-type': 'application/merge-patch+json' },
      body: Buffer.from(JSON.stringify({ spec: { renewTime: new Date().toISOString().replace('Z', '000Z') } })),
    })
    if (code !== 200) throw new Error(`a heartbeat was answered with ${code}`)
    times.push(performance.now() - began)
    await delay(everyMs)
  }
  return times
}

export const measureFairness: LocalMeasurement = async () => {
  const server = await aloneApiServer()
  try {
    await server.start()
    const { client } = server
    const node = await server.bus('system:node:n1')
    await client.raw('POST', lease.slice(0, lease.lastIndexOf('/')), { metadata: { name: 'n1' }, spec: { holderIdentity: 'n1' } })
    // Where there are roles, they may what they try.
    await client.raw('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'everybody' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:authenticated' }],
    })
    for (let i = 0; i < 500; i++) await client.raw('POST', configMaps, { metadata: { name: `c-${i}` }, data: { text: 'x'.repeat(1000) } })
    const alone = await beat(node)
    const [someone, administrator] = [await server.user('jane'), await server.user('root', 'system:masters')]
    const create: FloodedRequest = { method: 'POST', path: configMaps, body: { metadata: { generateName: 'f-' }, data: { a: '1' } } }
    const list: FloodedRequest = { method: 'GET', path: `${configMaps}?labelSelector=none&limit=500` }
    const floods = [
      ['500 creates by a user', someone, create],
      ['500 lists by a user', someone, list],
      ['500 creates by an administrator, who is exempt', administrator, create],
    ] as const
    const rows: Row[] = []
    for (const [what, tls, request] of floods) {
      const stop = startFlood(server, tls, request)
      await delay(loadMs)
      const times = await beat(node)
      const codes = await stop()
      for (const p of [0.5, 0.99])
        rows.push({
          name: `heartbeat beside ${what} (${codes}), p${p * 100}`,
          unit: 'ms',
          value: percentile(times, p),
          floor: percentile(alone, p),
          floorName: 'a heartbeat alone',
          ...(p === 0.99 ? { target: percentile(alone, p) + 50 } : {}),
        })
    }
    await node.close()
    return rows
  } finally {
    await server.close()
  }
}
