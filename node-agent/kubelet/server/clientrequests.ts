/** The kubelet's own requests to the API, counted as client-go counts them. */
import type { Transport } from '#shared/bus/transport.ts'
import { clientRequestDurations, clientRequests } from '../metrics.ts'

export const countedTransport = (transport: Transport): Transport => ({
  async request(request) {
    const began = performance.now()
    const count = (code: string): void => {
      clientRequests.add({ method: request.method, code, host: 'nats' })
      clientRequestDurations.observe((performance.now() - began) / 1000, { verb: request.method, host: 'nats' })
    }
    try {
      const response = await transport.request(request)
      count(String(response.code))
      return response
    } catch (e) {
      count('<error>')
      throw e
    }
  },
  close: () => transport.close(),
})
