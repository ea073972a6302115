/** Whether a component of a cluster does its work, asked from beside it. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { leases } from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import type { StateDir } from './state.ts'

const deadlineMs = 4_000
/** A Lease that was renewed this long ago is not being renewed, ms: no component of ours lets a renewal wait that long. */
const staleMs = 30_000

/** Rejects unless a nats-server greets on this port of loopback. */
export async function natsGreets(port: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(deadlineMs, () => reject(new Error(`no greeting within ${deadlineMs} ms`)))
      socket.once('error', reject).once('end', () => reject(new Error('closed without a greeting')))
      socket.once('data', text => (text.toString().startsWith('INFO ') ? resolve() : reject(new Error('not a nats-server'))))
    })
  } finally {
    socket.destroy()
  }
}

/** Rejects, in the API server's own words, unless it is ready. */
export async function apiServerIsReady(dir: StateDir, port: number): Promise<void> {
  const transport = httpsTransport({ server: `https://127.0.0.1:${port}`, ca: readFileSync(path.join(dir.pki, 'ca.crt'), 'utf8') })
  try {
    const { code, body } = await transport.request({
      method: 'GET',
      path: '/readyz',
      query: new URLSearchParams(),
      headers: {},
      body: Buffer.alloc(0),
      timeoutMs: deadlineMs,
    })
    const parts: Uint8Array[] = []
    for await (const part of body instanceof Uint8Array ? [body] : body) parts.push(part)
    if (code !== 200) throw new Error(`/readyz: ${code} ${Buffer.concat(parts).toString().trim()}`)
  } finally {
    await transport.close()
  }
}

/** Rejects unless the Lease that these credentials' owner keeps, or stands by for, has been renewed of late. */
export async function leaseIsFresh(natsUrl: string, credsFile: string, namespace: string, name: string): Promise<void> {
  const bus = await connectBus({ url: natsUrl, credsFile, timeoutMs: deadlineMs, log: logger('health') })
  try {
    const lease = await newClient(natsTransport(bus), { timeoutMs: deadlineMs }).get(leases, namespace, name)
    const age = Date.now() - Date.parse(lease.spec.renewTime ?? '')
    if (!(age < staleMs)) throw new Error(`the lease ${namespace}/${name} was renewed last at ${lease.spec.renewTime}`)
  } finally {
    await bus.close()
  }
}
