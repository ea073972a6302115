/** pods/exec and pods/attach over WebSocket (v4 and v5.channel.k8s.io) and SPDY, bridged to a session with the kubelet. */
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Session } from '#shared/bus/session.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { boolParameter } from '../objects/options.ts'
import { execOverSpdy, execProtocols, firstExecProtocol } from '#shared/streaming/exec.ts'
import { execOverWebSocket } from '#shared/streaming/exec-websocket.ts'
import {
  negotiateProtocol,
  spdyAnswer,
  wantsSpdy,
  wantsWebSocket,
  webSocketAnswer,
  webSocketProtocols,
} from '#shared/streaming/protocol.ts'
import type { Call } from '../verbs/context.ts'
import { containerOf, podOf, toKubelet } from './node.ts'

export async function podExec(call: Call, bus: BusConnection, verb: 'exec' | 'attach'): Promise<Answer> {
  const { info, request } = call
  const { query } = request
  const pod = await podOf(call)
  const container = containerOf(pod, query.get('container') ?? '')
  const wants = {
    stdin: boolParameter(query, 'stdin') ?? false,
    stdout: boolParameter(query, 'stdout') ?? false,
    stderr: boolParameter(query, 'stderr') ?? false,
    tty: boolParameter(query, 'tty') ?? false,
  }
  if (!wants.stdin && !wants.stdout && !wants.stderr) throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  const command = query.getAll('command')
  if (verb === 'exec' && command.length === 0) throw badRequest('you must specify at least one command for the container')
  if (!pod.spec.nodeName) throw badRequest(`pod ${info.name} does not have a host assigned`)
  if (!wantsSpdy(request) && !wantsWebSocket(request)) throw badRequest('Upgrade request required')
  const open = {
    namespace: info.namespace,
    name: info.name,
    uid: pod.metadata.uid,
    container,
    ...(verb === 'exec' ? { command } : {}),
    ...wants,
  }
  const dial = (signal: AbortSignal): Promise<Session> => toKubelet(bus, pod, verb, open, signal)
  if (wantsSpdy(request)) {
    const protocol = negotiateProtocol(request, execProtocols, firstExecProtocol)
    return spdyAnswer(protocol, socket => execOverSpdy(socket, protocol, wants, dial))
  }
  // A client whose upgrade is refused tries an older protocol: what goes wrong from here on is told on the error channel.
  return webSocketAnswer(webSocketProtocols, socket => execOverWebSocket(socket, wants, dial))
}
