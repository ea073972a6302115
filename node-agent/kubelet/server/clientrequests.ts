/** The kubelet's own requests to the API, counted. */
import type { Transport } from '#shared/bus/transport.ts'
import { countedTransport as counted } from '#shared/client/countedtransport.ts'
import { clientRequests } from '../metrics.ts'

export const countedTransport = (transport: Transport): Transport => counted(transport, clientRequests)
