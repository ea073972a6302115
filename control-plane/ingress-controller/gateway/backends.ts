/** What a route's reference to a backend leads to. */
import type { Target } from '../model.ts'
import { condition, isGranted, type GatewayView } from './listeners.ts'
import { group, type BackendRef, type Condition } from './types.ts'

export interface Backend {
  service: NonNullable<Target['service']>
  appProtocol: string | undefined
}

/** The condition ResolvedRefs of who cannot be reached by it. `kind` and `namespace` are the route's. */
export function backendOf(view: GatewayView, kind: string, namespace: string, ref: BackendRef): Backend | Condition {
  const at = ref.namespace ?? namespace
  const fail = (reason: string, message: string): Condition => condition('ResolvedRefs', false, reason, message)
  if ((ref.group ?? '') !== '' || (ref.kind ?? 'Service') !== 'Service')
    return fail('InvalidKind', `a backend of kind ${ref.kind} is not supported`)
  if (!isGranted(view.grants, { group, kind, namespace }, { group: '', kind: 'Service', namespace: at, name: ref.name }))
    return fail('RefNotPermitted', `no ReferenceGrant lets it name Service ${at}/${ref.name}`)
  const service = view.service(at, ref.name)
  // An alias could lead to what the route's owner may not name (CVE-2021-25740).
  if (service?.spec.type === 'ExternalName') return fail('UnsupportedValue', `Service ${at}/${ref.name} is an ExternalName`)
  const port = service?.spec.ports?.find(p => p.port === ref.port)
  if (!port) return fail('BackendNotFound', `there is no Service ${at}/${ref.name} with port ${ref.port}`)
  return { service: { key: `${at}/${ref.name}`, port: port.port }, appProtocol: port.appProtocol }
}
