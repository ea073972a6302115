/** Heartbeats of a node while another client has 500 requests under way: how much later they are answered than without it. */
import { connect, type ClientHttp2Session } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Transport } from '#shared/bus/transport.ts'
import { aloneApiServer, type Alone } from './alone.ts'
import type { LocalMeasurement, Row } from './measurement.ts'
import { percentile } from './statistics.ts'

const inFlight = 500
/** HTTP/2 allows so many streams of a connection. */
const streams = 125
const [loadMs, heartbeats, everyMs] = [1000, 500, 10]
const configMaps = '/api/v1/namespaces/default/configmaps'
const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1'

interface Request {
  readonly method: string
  readonly path: string
  readonly body?: string
}

/** Keeps 500 requests under way; resolves, when stopped, with how many were answered, by code. */
async function flood(server: Alone, tls: Alone['tls'], make: (i: number) => Request, stop: AbortSignal): Promise<Map<number, number>> {
  const codes = new Map<number, number>()
  const sessions = Array.from({ length: inFlight / streams }, () => connect(server.url, tls))
  let sent = 0
  const one = (session: ClientHttp2Session): Promise<void> =>
    new Promise(resolve => {
      const { method, path, body } = make(sent++)
      const stream = session.request(
        { ':method': method, ':path': path, 'content-type': 'application/json' },
        { endStream: body === undefined },
      )
      let code = 0
      stream.on('response', h => (code = h[':status'] ?? 0)).resume()
      stream.on('error', () => {})
      stream.on('close', () => {
        codes.set(code, (codes.get(code) ?? 0) + 1)
        // As client-go, which obeys Retry-After.
        setTimeout(resolve, code === 429 && !stop.aborted ? 1000 : 0)
      })
      if (body !== undefined) stream.end(body)
    })
  await Promise.all(
    sessions.flatMap(session =>
      Array.from({ length: streams }, async () => {
        while (!stop.aborted) await one(session)
      }),
    ),
  )
  for (const session of sessions) session.close()
  return codes
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
    const create = (i: number): Request => ({
      method: 'POST',
      path: configMaps,
      body: JSON.stringify({ metadata: { generateName: 'f-' }, data: { i: String(i) } }),
    })
    const list = (): Request => ({ method: 'GET', path: `${configMaps}?labelSelector=none&limit=500` })
    const floods = [
      ['500 creates by a user', someone, create],
      ['500 lists by a user', someone, list],
      ['500 creates by an administrator, who is exempt', administrator, create],
    ] as const
    const rows: Row[] = []
    for (const [what, tls, make] of floods) {
      const stop = new AbortController()
      const flooding = flood(server, tls, make, stop.signal)
      await delay(loadMs)
      const times = await beat(node)
      stop.abort()
      const codes = [...(await flooding)].map(([code, n]) => `${code}: ${n}`).join(', ')
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
