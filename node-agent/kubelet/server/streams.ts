/**
 * exec, attach, portForward and run at the kubelet itself, on the paths and with the parameters of upstream's server (pkg/kubelet/server):
 * `/exec/NAMESPACE/POD[/UID]/CONTAINER?command=...&input=1&output=1&error=1&tty=1`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Channel, type Session } from '#shared/bus/session.ts'
import { localSession } from '#shared/bus/localsession.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError, badRequest } from '#shared/machinery/status.ts'
import { execOverSpdy, execProtocols, firstExecProtocol } from '#shared/streaming/exec.ts'
import { execOverWebSocket } from '#shared/streaming/exec-websocket.ts'
import { channelProtocol, portForwardOverWebSocket } from '#shared/streaming/portforward-websocket.ts'
import { portForwardOverSpdy, portForwardProtocol, tunnelProtocol } from '#shared/streaming/portforward.ts'
import {
  negotiateProtocol,
  spdyAnswer,
  wantsSpdy,
  wantsWebSocket,
  webSocketAnswer,
  webSocketProtocols,
} from '#shared/streaming/protocol.ts'
import { endOf } from '#shared/streaming/status.ts'
import { headOf, newUpgrades, type Upgrade } from '#shared/streaming/upgrade.ts'
import { webSocketStream } from '#shared/streaming/websocketstream.ts'
import { httpRequests } from '../metrics.ts'

/** What is served to sessions of these verbs; each ends its session with a Status, and never rejects. */
export type StreamVerbs = { readonly [V in 'exec' | 'attach' | 'portforward']: (session: Session) => Promise<void> }

export interface Streams {
  /** A request that asks for another protocol. Owns the connection. */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /** A request for one of the paths that asks for none: the output of `run`, or a refusal. False when it is for another path. */
  serve(req: IncomingMessage, res: ServerResponse): boolean
  close(): void
}

interface StreamsOptions {
  verbs: StreamVerbs
  /** Whether the node has such a pod. */
  knows: (namespace: string, name: string, uid?: string) => boolean
  log: Logger
}

const paths = ['exec', 'attach', 'portForward', 'run'] as const
type Path = (typeof paths)[number]

interface Target {
  path: Path
  namespace: string
  name: string
  uid?: string
  container?: string
}

/** Undefined for another path. Throws 404. */
function targetOf(url: URL): Target | undefined {
  let parts: string[]
  try {
    parts = url.pathname.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    throw badRequest('400 Bad Request')
  }
  const path = paths.find(p => p === parts[0])
  if (path === undefined) return undefined
  const rest = parts.slice(1)
  const container = path === 'portForward' ? undefined : rest.pop()
  const [namespace, name, uid, ...more] = rest
  if (!namespace || !name || more.length > 0 || (path !== 'portForward' && !container))
    throw new StatusError(404, 'NotFound', '404 page not found')
  return { path, namespace, name, ...(uid ? { uid } : {}), ...(container ? { container } : {}) }
}

const urlOf = (req: IncomingMessage): URL => new URL(req.url ?? '/', 'http://kubelet')
const isSet = (query: URLSearchParams, name: string): boolean => ['1', 'true'].includes(query.get(name) ?? '')

export function kubeletStreams({ verbs, knows, log }: StreamsOptions): Streams {
  const upgrades = newUpgrades((req, error) => log.debug({ err: error, path: req.url }, 'websocket failed'))
  const open = (verb: keyof StreamVerbs, opened: object, signal: AbortSignal): Session => {
    const [ours, theirs] = localSession(opened)
    signal.addEventListener('abort', () => ours.close('the client went away'), { once: true })
    if (signal.aborted) ours.close('the client went away')
    void verbs[verb](theirs)
    return ours
  }
  const mustKnow = ({ namespace, name, uid }: Target): void => {
    if (!knows(namespace, name, uid)) throw new StatusError(404, 'NotFound', 'pod does not exist')
  }

  function answer(req: IncomingMessage): Upgrade {
    const url = urlOf(req)
    const target = targetOf(url)
    if (!target || target.path === 'run') throw new StatusError(404, 'NotFound', '404 page not found')
    mustKnow(target)
    const { path, ...pod } = target
    const asked = { headers: Object.fromEntries(Object.entries(req.headers).map(([name, value]) => [name, String(value)])) }
    const query = url.searchParams
    if (!wantsSpdy(asked) && !wantsWebSocket(asked)) throw badRequest('Upgrade request required')
    if (path === 'portForward') {
      const dial = (port: number, signal: AbortSignal) => Promise.resolve(open('portforward', { ...pod, port }, signal))
      if (wantsSpdy(asked)) {
        const protocol = negotiateProtocol(asked, [portForwardProtocol], portForwardProtocol)
        return spdyAnswer(protocol, socket => portForwardOverSpdy(socket, dial))
      }
      const tunnels = asked.headers['sec-websocket-protocol']?.split(',').some(p => p.trim() === tunnelProtocol) ?? false
      if (tunnels) return webSocketAnswer([tunnelProtocol], (...socket) => portForwardOverSpdy(webSocketStream(...socket), dial))
      const ports = portsOf(query)
      return webSocketAnswer([channelProtocol], socket => portForwardOverWebSocket(socket, ports, dial))
    }
    const tty = isSet(query, 'tty')
    // As upstream: with a terminal, both kinds of output are one.
    const wants = { stdin: isSet(query, 'input'), stdout: isSet(query, 'output'), stderr: isSet(query, 'error') && !tty, tty }
    if (!wants.stdin && !wants.stdout && !wants.stderr) throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
    const opened = { ...pod, ...wants, ...(path === 'exec' ? { command: query.getAll('command') } : {}) }
    const dial = (signal: AbortSignal) => Promise.resolve(open(path, opened, signal))
    if (wantsSpdy(asked)) {
      const protocol = negotiateProtocol(asked, execProtocols, firstExecProtocol)
      return spdyAnswer(protocol, socket => execOverSpdy(socket, protocol, wants, dial))
    }
    return webSocketAnswer(webSocketProtocols, socket => execOverWebSocket(socket, wants, dial))
  }

  /** The output of a command, both kinds as they come. */
  async function run(target: Target, url: URL, res: ServerResponse): Promise<void> {
    mustKnow(target)
    const { path: _, ...pod } = target
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const command = (url.searchParams.get('cmd') ?? '').split(' ')
    const session = open('exec', { ...pod, command, stdout: true, stderr: true }, gone.signal)
    const pieces: Uint8Array[] = []
    let size = 0
    const collect = async (channel: number): Promise<void> => {
      for await (const piece of session.read(channel)) {
        size += piece.length
        if (size > mostOutput) return session.close('the output is too long')
        pieces.push(piece)
      }
    }
    const [status] = await Promise.all([endOf(session), collect(Channel.stdout), collect(Channel.stderr)])
    session.close()
    if (status.status === 'Success') return void res.end(Buffer.concat(pieces))
    throw new StatusError(500, 'InternalError', status.message ?? '')
  }

  const count = (req: IncomingMessage, path: string): void =>
    void httpRequests.add({ method: req.method ?? '', path, server_type: 'readwrite', long_running: 'true' })

  return {
    upgrade(req, socket, head) {
      socket.on('error', () => {})
      try {
        const upgrade = answer(req)
        count(req, urlOf(req).pathname.split('/')[1] ?? '')
        upgrades.serve(req, socket, head, upgrade)
      } catch (e) {
        refuseUpgrade(socket, e)
      }
    },
    serve(req, res) {
      const url = urlOf(req)
      const refuse = (e: unknown): void => {
        const { code = 500, message } = e as Partial<StatusError>
        if (res.headersSent) return void res.destroy()
        res.writeHead(typeof code === 'number' ? code : 500, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`)
      }
      try {
        const target = targetOf(url)
        if (!target) return false
        count(req, target.path)
        if (target.path === 'run' && req.method === 'POST') void run(target, url, res).catch(refuse)
        else if (target.path === 'run') refuse(new StatusError(405, 'MethodNotAllowed', 'Method Not Allowed'))
        else {
          mustKnow(target)
          refuse(badRequest('Upgrade request required'))
        }
      } catch (e) {
        refuse(e)
      }
      return true
    },
    close: () => upgrades.close(),
  }
}

/** Of one command, bytes. */
const mostOutput = 16 * 1024 * 1024

/** Node gives up its own part in a connection that asks for an upgrade. */
export function refuseUpgrade(socket: Duplex, e: unknown): void {
  const code = e instanceof StatusError ? e.code : 500
  const body = `${(e as Error).message}\n`
  const headers = {
    connection: 'close',
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
  }
  socket.end(headOf({ code, headers }) + body)
}

/** The ports of the query. Throws 400. */
function portsOf(query: URLSearchParams): number[] {
  const texts = query.getAll('port').flatMap(text => text.split(','))
  if (texts.length === 0) throw badRequest('query parameter "port" is required')
  return texts.map(text => {
    const port = Number(text)
    if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw badRequest(`unable to parse ${JSON.stringify(text)} as a port`)
    return port
  })
}
