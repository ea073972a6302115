/**
 * Connections to ports of a pod's own loopback interface. Node has no setns(2): a small process in the pod's network namespace connects,
 * and hands the connection over to us, so that no byte goes through it. It stays a moment for the next.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { connect, type Socket } from 'node:net'

/** How long it stays with nothing to do. */
const idleMs = 5_000
/** As long it may take until it is there and connected. */
const connectMs = 30_000

// Paused: what the pod says first is ours to read.
const script = `
const net = require('node:net')
process.on('disconnect', () => process.exit())
process.on('message', ({ id, port }) => {
  const socket = net.connect({ host: 'localhost', port, allowHalfOpen: true, noDelay: true }).pause()
  socket.once('error', e => process.send({ id, error: e.message }))
  socket.once('connect', () => process.send({ id }, socket))
})`

interface Answer {
  id: number
  error?: string
}
interface Connector {
  child: ChildProcess
  waiting: Map<number, (answer: Answer, socket?: Socket) => void>
  idle: NodeJS.Timeout | undefined
}
/** By the path of the namespace. */
const connectors = new Map<string, Connector>()
let ids = 0

function connectorIn(namespace: string): Connector {
  const known = connectors.get(namespace)
  if (known) return known
  const child = spawn('nsenter', [`--net=${namespace}`, process.execPath, '-e', script], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { PATH: process.env['PATH'] },
  })
  const connector: Connector = { child, waiting: new Map(), idle: undefined }
  connectors.set(namespace, connector)
  const end = (why: string): void => {
    if (connectors.get(namespace) === connector) connectors.delete(namespace)
    clearTimeout(connector.idle)
    for (const [id, answered] of connector.waiting) answered({ id, error: why })
    connector.waiting.clear()
  }
  child.once('error', e => end(e.message))
  child.once('exit', () => end('the network of the pod cannot be entered'))
  child.on('message', (answer: Answer, socket) => {
    const answered = connector.waiting.get(answer.id)
    connector.waiting.delete(answer.id)
    if (answered) answered(answer, socket as Socket | undefined)
    else (socket as Socket | undefined)?.destroy()
    if (connector.waiting.size > 0) return
    connector.idle = setTimeout(() => stop(namespace, connector), idleMs)
    connector.idle.unref()
  })
  child.unref()
  child.channel?.unref()
  return connector
}

function stop(namespace: string, { child }: Connector): void {
  connectors.delete(namespace)
  if (child.connected) child.disconnect()
}

/**
 * A connection to `localhost:port` in the network namespace of this path, or in the node's own (`node`). Half of it may end before the
 * other. Rejects with the system's words, or when `signal` aborts.
 */
export async function connectIn(namespace: string, port: number, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted()
  const limit = AbortSignal.any([signal, AbortSignal.timeout(connectMs)])
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const abort = (): void => reject(limit.reason as Error)
  limit.addEventListener('abort', abort, { once: true })
  try {
    if (namespace === 'node') {
      const socket = connect({ host: 'localhost', port, allowHalfOpen: true, noDelay: true })
      socket.once('connect', () => resolve(socket)).once('error', reject)
      promise.catch(() => socket.destroy())
      return await promise
    }
    const connector = connectorIn(namespace)
    clearTimeout(connector.idle)
    const id = ++ids
    connector.waiting.set(id, ({ error }, socket) => {
      if (error !== undefined || !socket) return reject(new Error(error ?? 'no connection came'))
      if (limit.aborted) return void socket.destroy()
      socket.allowHalfOpen = true
      resolve(socket)
    })
    // What cannot be sent is told by the end of the process.
    connector.child.send({ id, port }, () => {})
    return await promise
  } finally {
    limit.removeEventListener('abort', abort)
  }
}
