/** Whether an APIService's server can be reached, as far as objects tell (kube-aggregator/pkg/controllers/status/remote). */
import type { APIService, APIServiceCondition } from '#shared/api/apiregistration/apiservice.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { formatTime } from '#shared/machinery/time.ts'

export type Availability = Pick<APIServiceCondition, 'status' | 'reason' | 'message'>

export const passed: Availability = { status: 'True', reason: 'Passed', message: 'all checks passed' }

const unavailable = (reason: string, message: string): Availability => ({ status: 'False', reason, message })

/** Why it cannot; undefined when it has to be tried. */
export function judge(
  { spec }: APIService,
  service: Service | undefined,
  slices: () => readonly EndpointSlice[],
): Availability | undefined {
  const { namespace = '', name = '', port = 443 } = spec.service ?? {}
  const what = `service/${name} in ${JSON.stringify(namespace)}`
  if (!service) return unavailable('ServiceNotFound', `${what} is not present`)
  if (service.spec.type !== 'ClusterIP') return undefined
  const servicePort = service.spec.ports?.find(p => p.port === port)
  if (!servicePort) return unavailable('ServicePortError', `${what} is not listening on port ${port}`)
  const all = slices()
  if (all.length === 0) return unavailable('EndpointsNotFound', `cannot find endpointslices for ${what}`)
  const portName = servicePort.name ?? ''
  if (!all.some(slice => hasEndpoint(slice, portName)))
    return unavailable('MissingEndpoints', `endpointslices for ${what} have no addresses with port name ${JSON.stringify(portName)}`)
  return undefined
}

const hasEndpoint = ({ endpoints, ports }: EndpointSlice, portName: string): boolean =>
  endpoints.some(e => e.conditions?.ready !== false) && (ports ?? []).some(p => (p.name ?? '') === portName && p.port !== undefined)

export const conditionOf = ({ status }: APIService): APIServiceCondition | undefined =>
  status?.conditions?.find(c => c.type === 'Available')
export const isAvailable = (s: APIService): boolean => conditionOf(s)?.status === 'True'

/** The object with the condition; undefined when it has that already. The time is that of the last change of the status. */
export function withCondition(s: APIService, is: Availability): APIService | undefined {
  const was = conditionOf(s)
  if (was && was.status === is.status && was.reason === is.reason && was.message === is.message) return undefined
  const lastTransitionTime = was?.status === is.status ? was.lastTransitionTime : formatTime()
  const others = (s.status?.conditions ?? []).filter(c => c.type !== 'Available')
  return { ...s, status: { ...s.status, conditions: [...others, { type: 'Available', ...is, lastTransitionTime }] } }
}
