/** pods/portforward: over SPDY, over SPDY in a WebSocket, and over a plain WebSocket; every connection is a session with the kubelet. */
import type { BusConnection } from '#shared/bus/connection.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { channelProtocol, portForwardOverWebSocket } from '#shared/streaming/portforward-websocket.ts'
import { portForwardOverSpdy, portForwardProtocol, tunnelProtocol, type OpenPort } from '#shared/streaming/portforward.ts'
import { negotiateProtocol, spdyAnswer, wantsSpdy, wantsWebSocket, webSocketAnswer } from '#shared/streaming/protocol.ts'
import { webSocketStream } from '#shared/streaming/websocketstream.ts'
import type { Call } from '../verbs/context.ts'
import { podOf, toKubelet } from './node.ts'

export async function podPortForward(call: Call, bus: BusConnection): Promise<Answer> {
  const { info, request } = call
  const pod = await podOf(call)
  if (!pod.spec.nodeName) throw badRequest(`pod ${info.name} does not have a host assigned`)
  const open: OpenPort = (port, signal) =>
    toKubelet(bus, pod, 'portforward', { namespace: info.namespace, name: info.name, uid: pod.metadata.uid, port }, signal)
  if (wantsSpdy(request)) {
    const protocol = negotiateProtocol(request, [portForwardProtocol], portForwardProtocol)
    return spdyAnswer(protocol, socket => portForwardOverSpdy(socket, open))
  }
  if (!wantsWebSocket(request)) throw badRequest('Upgrade request required')
  const tunnels = request.headers['sec-websocket-protocol']?.split(',').some(name => name.trim() === tunnelProtocol) ?? false
  if (tunnels) return webSocketAnswer([tunnelProtocol], (...socket) => portForwardOverSpdy(webSocketStream(...socket), open))
  const ports = portsOf(request.query)
  return webSocketAnswer([channelProtocol], socket => portForwardOverWebSocket(socket, ports, open))
}

/** The ports of the query, each by itself or several with commas. Throws 400. */
function portsOf(query: URLSearchParams): number[] {
  const texts = query.getAll('ports').flatMap(text => text.split(','))
  if (texts.length === 0) throw badRequest('query parameter "ports" is required')
  return texts.map(text => {
    const port = Number(text)
    if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw badRequest(`unable to parse ${JSON.stringify(text)} as a port`)
    return port
  })
}
