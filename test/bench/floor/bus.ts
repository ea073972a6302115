/** The floor of the API over NATS: request and answer between two processes through a nats-server of their own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { headers } from 'nats'
import { apiSubject } from '#shared/bus/subjects.ts'
import { startNats } from '../../fixtures/nats.ts'
import { ratePerSecond } from '../statistics.ts'

export interface BusFloor {
  /** Requests per second, each answered with that many bytes. */
  rate(seconds: number, width: number, bytes: number): Promise<number>
  close(): Promise<void>
}

export async function openBusFloor(): Promise<BusFloor> {
  const server = await startNats(process.env['NATS_SERVER'] ? { binary: process.env['NATS_SERVER'] } : {})
  const subject = apiSubject('system:admin')
  const child = spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'echo.mjs'), server.url, await server.creds('system:apiserver'), subject],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const close = async () => {
    child.kill('SIGKILL')
    await server.stop()
  }
  try {
    const { nats } = await server.connect('system:admin')
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => Promise.reject(new Error('the floor responder ended')))])
    return {
      rate(seconds, width, bytes) {
        const h = headers()
        h.set('Bytes', String(bytes))
        return ratePerSecond(seconds, width, () => nats.request(subject, '', { headers: h, timeout: 10_000 }))
      },
      close,
    }
  } catch (e) {
    await close()
    throw e
  }
}
