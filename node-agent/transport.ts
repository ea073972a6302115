/** A way to the API before there is a connection to it: requests wait for one as long as they may take. */
import { TransportError } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'

const defaultTimeoutMs = 30_000

export const transportOf = (opening: Promise<Transport>): Transport => ({
  async request(request) {
    const { timeoutMs = defaultTimeoutMs } = request
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new TransportError('unavailable', 'there is no connection to the API yet')), timeoutMs)
    })
    const transport = await Promise.race([opening, late]).finally(() => clearTimeout(timer))
    return await transport.request(request)
  },
  close: async () => await (await opening).close(),
})
