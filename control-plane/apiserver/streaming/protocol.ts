/** Which of a client's protocols is spoken within SPDY: the header X-Stream-Protocol-Version of k8s.io/streaming's handshake. */
import { StatusError } from '#shared/machinery/status.ts'
import type { ApiRequest } from '#shared/bus/transport.ts'

export const wantsSpdy = (request: Pick<ApiRequest, 'headers'>): boolean => request.headers['upgrade']?.toLowerCase() === 'spdy/3.1'

/** The first protocol of the server's that the client knows too; a client that names none speaks the first version. Throws 403. */
export function negotiateProtocol(request: Pick<ApiRequest, 'headers'>, served: readonly string[], unnamed: string): string {
  const offered = (request.headers['x-stream-protocol-version'] ?? '')
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')
  if (offered.length === 0) return unnamed
  const protocol = served.find(name => offered.includes(name))
  if (protocol === undefined) {
    const why = `client supports [${offered.join(' ')}], server accepts [${served.join(' ')}]`
    throw new StatusError(403, 'Forbidden', `unable to upgrade: unable to negotiate protocol: ${why}`)
  }
  return protocol
}
