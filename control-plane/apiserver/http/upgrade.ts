/** Requests that ask for another protocol on their connection (HTTP/1.1 only). */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '#shared/component/log.ts'
import { headOf, newUpgrades as sharedUpgrades } from '#shared/streaming/upgrade.ts'
import type { Answer } from '../chain/response.ts'
import { pump } from './answer.ts'

export interface Upgrades {
  /** Gives the connection what was answered; it is closed behind an answer that is no upgrade. `head` is what came after the request. */
  serve(req: IncomingMessage, socket: Socket, head: Buffer, answer: Answer): Promise<void>
  close(): void
}

export function newUpgrades(log: Logger): Upgrades {
  const upgrades = sharedUpgrades((req, error) => log.debug({ err: error, path: req.url }, 'websocket failed'))
  return {
    async serve(req, socket, head, answer) {
      if (!upgrades.serve(req, socket, head, answer)) await sendAndClose(socket, answer)
    },
    close: () => upgrades.close(),
  }
}

/** Writes an answer by hand: node gives up its own part in a connection that asks for an upgrade. The end of the body is that of all. */
async function sendAndClose(socket: Socket, answer: Answer): Promise<void> {
  const { body, headers } = answer
  headers['connection'] = 'close'
  if (body instanceof Uint8Array) {
    headers['content-length'] ??= String(body.length)
    socket.write(headOf(answer))
    socket.end(body)
    return
  }
  const iterator = body[Symbol.asyncIterator]()
  socket.once('close', () => void iterator.return?.()?.then(undefined, () => {}))
  socket.write(headOf(answer))
  await pump(socket, iterator)
}
