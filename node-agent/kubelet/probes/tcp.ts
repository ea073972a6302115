/** tcpSocket probes: the port takes a connection. */
import { connect } from 'node:net'
import { dialError, hostPort } from '#shared/component/neterror.ts'
import type { Outcome } from './state.ts'

export function probeTcp(host: string, port: number, timeoutMs: number): Promise<Outcome> {
  const address = hostPort(host, port)
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: timeoutMs })
    const end = (outcome: Outcome): void => {
      socket.destroy()
      resolve(outcome)
    }
    socket.on('connect', () => end({ result: 'success', output: '' }))
    socket.on('timeout', () => end({ result: 'failure', output: `dial tcp ${address}: i/o timeout` }))
    socket.on('error', e => end({ result: 'failure', output: dialError(e, address) }))
  })
}
