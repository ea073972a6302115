/** Where the metrics server is found: a Service that names its host, and an APIService. Those of another metrics server are left alone. */
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import type { Service } from '#shared/api/core/service.ts'
import { apiServices, services } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { group, version } from './types.ts'

export const [namespace, name] = ['kube-system', 'metrics-server']
const managedBy = 'app.kubernetes.io/managed-by'
const labels = { 'k8s-app': name, [managedBy]: 'coxswain' }
const isOurs = ({ metadata }: KubeObject): boolean => metadata.labels?.[managedBy] === labels[managedBy]

export interface Place {
  /** An address or a host name that API servers reach. */
  readonly host: string
  readonly port: number
  /** The authorities of its certificate, PEM. */
  readonly authority: string
}

const serviceOf = ({ host, port }: Place) => ({
  kind: 'Service',
  apiVersion: 'v1',
  metadata: { name, namespace, labels },
  // A name, not endpoints: these may not be on loopback, where it is when there is nothing else.
  spec: { type: 'ExternalName', externalName: host, ports: [{ name: 'https', port, protocol: 'TCP' }] },
})
const apiServiceOf = ({ port, authority }: Place) => ({
  kind: 'APIService',
  apiVersion: 'apiregistration.k8s.io/v1',
  metadata: { name: `${version}.${group}`, labels },
  spec: {
    group,
    version,
    service: { namespace, name, port },
    caBundle: Buffer.from(authority).toString('base64'),
    groupPriorityMinimum: 100,
    versionPriority: 100,
  },
})

async function find<T>(client: Client, kind: Kind<T>, where: string, called: string): Promise<T | undefined> {
  return client.get(kind, where, called).catch((e: unknown) => {
    if (isNotFound(e)) return undefined
    throw e
  })
}

/** Makes it known to clients, unless another metrics server has its place: false then. Rejects when others write the same at the time. */
export async function register(client: Client, place: Place): Promise<boolean> {
  const wanted = { service: serviceOf(place), apiService: apiServiceOf(place) }
  const service = await find(client, services, namespace, name)
  const apiService = await find(client, apiServices, '', wanted.apiService.metadata.name)
  if ((service && !isOurs(service)) || (apiService && !isOurs(apiService))) return false
  if (!service) await client.create(services, namespace, wanted.service as Service)
  else if (service.spec.externalName !== place.host || service.spec.ports?.[0]?.port !== place.port)
    await client.update(services, { ...service, spec: { ...service.spec, ...wanted.service.spec } } as Service)
  const { spec } = wanted.apiService
  if (!apiService) await client.create(apiServices, '', wanted.apiService as APIService)
  else if (apiService.spec.service?.port !== place.port || apiService.spec.caBundle !== spec.caBundle)
    await client.update(apiServices, { ...apiService, spec } as APIService)
  return true
}

/** Takes away what `register` made. */
export async function unregister(client: Client): Promise<void> {
  const gone = (e: unknown): void => {
    if (!isNotFound(e)) throw e
  }
  const apiServiceName = `${version}.${group}`
  const apiService = await find(client, apiServices, '', apiServiceName)
  if (apiService && isOurs(apiService)) await client.delete(apiServices, '', apiServiceName).catch(gone)
  const service = await find(client, services, namespace, name)
  if (service && isOurs(service)) await client.delete(services, namespace, name).catch(gone)
}
