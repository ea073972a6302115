/** portforward: one connection to a port on the pod's own loopback interface. Data comes on channel 0 and goes on channel 1. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import type { Kubelet } from '../kubelet.ts'
import { connectIn } from './connector.ts'
import { success } from './result.ts'
import { findPod, podTarget, readOpen } from './target.ts'

const schema = z.object({ ...podTarget, port: z.number().int().min(1).max(65_535) })

/**
 * It is over when the pod's side has ended, as a container runtime's forwarding is; when the client's side has, the pod is told and goes
 * on.
 */
export async function portForward(kubelet: Kubelet, session: Session): Promise<Status> {
  const open = readOpen(schema, session.open)
  const worker = findPod(kubelet, open)
  const { sandbox } = worker.state
  if (!sandbox || sandbox.lost) throw new StatusError(500, 'InternalError', `pod ${open.name} is not running`)
  let socket: Socket
  try {
    socket = await connectIn(sandbox.networkNamespace, open.port, session.signal)
  } catch (e) {
    const why = `failed to connect to localhost:${open.port} inside namespace: ${(e as Error).message}`
    throw new StatusError(500, 'InternalError', `error forwarding port ${open.port} to pod ${open.name}, uid : ${why}`)
  }
  const stop = (): void => void socket.destroy()
  session.signal.addEventListener('abort', stop, { once: true })
  // A connection that breaks ends: the client sees that.
  socket.on('error', () => {})
  const upstream = async (): Promise<void> => {
    for await (const data of session.read(Channel.stdin))
      if (!socket.write(data)) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
    socket.end()
  }
  upstream().catch(() => socket.end())
  try {
    for await (const data of socket) await session.send(Channel.stdout, data as Uint8Array)
  } catch (e) {
    // What came before is sent; a client that went away needs no word.
    if ((e as NodeJS.ErrnoException).code === undefined && !session.signal.aborted) throw e
  } finally {
    session.signal.removeEventListener('abort', stop)
    stop()
  }
  return success
}
