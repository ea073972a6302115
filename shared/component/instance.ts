/**
 * Whether another instance on this machine still lives. Each listens at a socket of its identity in Linux' abstract namespace, which the
 * kernel closes with the process, however that ends: no file stays, and a process that is stopped or hangs still counts as alive.
 */
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { backoff, sleep } from '../client/backoff.ts'

const socketOf = (identity: string): string => `\0coxswain/${identity}`
/** Other instances that may hold a connection; others are closed, which tells them nothing. */
const mostConnections = 32

/** Who can reach whose sockets: those of one boot of the machine in one network namespace. Undefined where there are none such. */
function place(): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const parts = [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'), readlinkSync('/proc/self/ns/net')]
    return createHash('sha256').update(parts.join()).digest('hex').slice(0, 16)
  } catch {
    return undefined
  }
}

/** An identity `<name>_<unique>` that no process had before, for elections; on Linux others can see when this process ends. */
export async function newIdentity(name: string): Promise<string> {
  const here = place()
  const own = randomUUID()
  if (!here) return `${name}_${own}`
  const identity = `${name}_${here}-${own}`
  // Nobody has anything to say.
  const server = createServer(connection => connection.on('error', () => {}).on('data', () => connection.destroy()))
  server.maxConnections = mostConnections
  try {
    await once(server.listen(socketOf(identity)), 'listening')
    server.unref()
    return identity
  } catch {
    // Without a socket it must not look as if it had had one.
    return `${name}_${own}`
  }
}

/** Resolves 'refused' when nobody listens there, 'closed' when the other side or `signal` ended the connection, or there was none. */
async function connection(identity: string, signal: AbortSignal): Promise<'refused' | 'closed'> {
  const socket = connect(socketOf(identity)).unref().resume()
  const end = (): void => void socket.destroy()
  signal.addEventListener('abort', end, { once: true })
  let refused = false
  socket.on('error', e => (refused = (e as NodeJS.ErrnoException).code === 'ECONNREFUSED'))
  await new Promise(resolve => socket.once('close', resolve))
  signal.removeEventListener('abort', end)
  return refused ? 'refused' : 'closed'
}

/** Resolves true when the process of that identity has ended; false when `signal` aborts, or at once when that cannot be seen from here. */
export async function untilEnded(identity: string, signal: AbortSignal): Promise<boolean> {
  const here = place()
  if (!here || !identity.slice(identity.lastIndexOf('_') + 1).startsWith(`${here}-`)) return false
  const pause = backoff(50, 2000)
  while (!signal.aborted) {
    if ((await connection(identity, signal)) === 'refused') return true
    await sleep(pause.next(), signal)
  }
  return false
}
