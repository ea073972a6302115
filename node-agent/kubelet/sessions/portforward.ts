/** portforward: one connection to a port on the pod's own loopback interface. Data comes on channel 0 and goes on channel 1. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import type { Kubelet } from '../kubelet.ts'
import { success } from './result.ts'
import { findPod, podTarget, readOpen } from './target.ts'

const schema = z.object({ ...podTarget, port: z.number().int().min(1).max(65_535) })

/**
 * Node has no setns(2): a small process joins the namespace and relays its standard streams. It is over when the pod's side has ended, as a
 * container runtime's forwarding is; when the client's side has, the pod is told and goes on.
 */
const relay = `
const socket = require('node:net').connect({ host: 'localhost', port: Number(process.argv[1]), allowHalfOpen: true })
socket.on('error', e => { process.stderr.write(e.message); process.exit(1) })
process.stdin.pipe(socket)
socket.pipe(process.stdout)
socket.on('end', () => process.stdout.write('', () => process.exit(0)))
socket.on('close', () => process.exit(0))`

export async function portForward(kubelet: Kubelet, session: Session): Promise<Status> {
  const open = readOpen(schema, session.open)
  const worker = findPod(kubelet, open)
  const { sandbox } = worker.state
  if (!sandbox || sandbox.lost) throw new StatusError(500, 'InternalError', `pod ${open.name} is not running`)
  const node = [process.execPath, '-e', relay, String(open.port)]
  const argv = sandbox.networkNamespace === 'node' ? node : ['nsenter', `--net=${sandbox.networkNamespace}`, ...node]
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] } })
  const stop = (): void => void child.kill('SIGKILL')
  session.signal.addEventListener('abort', stop, { once: true })
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(0, 1000)))
  // A relay that ends early must not end us.
  child.stdin.on('error', () => {})
  const upstream = async (): Promise<void> => {
    for await (const data of session.read(Channel.stdin))
      if (!child.stdin.write(data)) await Promise.race([once(child.stdin, 'drain'), once(child, 'close')])
    child.stdin.end()
  }
  upstream().catch(() => child.stdin.end())
  const closed = once(child, 'close') as Promise<[number | null]>
  try {
    for await (const data of child.stdout) await session.send(Channel.stdout, data as Uint8Array)
    const [code] = await closed
    if (code !== 0 && !session.signal.aborted)
      throw new StatusError(
        500,
        'InternalError',
        `error forwarding port ${open.port} to pod ${open.name}, uid : failed to connect to localhost:${open.port} inside namespace: ${words.trim()}`,
      )
    return success
  } finally {
    session.signal.removeEventListener('abort', stop)
    stop()
  }
}
