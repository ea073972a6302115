/** The scale subresource of what an autoscaler names. */
import type { CrossVersionObjectReference } from '#shared/api/autoscaling/metrics.ts'
import type { Scale } from '#shared/api/autoscaling/scale.ts'
import type { Client } from '#shared/client/client.ts'
import type { ServedKinds } from '../servedkinds.ts'

export interface Scaled {
  readonly path: string
  readonly object: Scale
}

/** Rejects when the kind is not known, the object is not there, or has no scale. Of a kind any version will do. */
export async function getScale(
  client: Client,
  served: ServedKinds,
  namespace: string,
  { apiVersion = '', kind, name }: CrossVersionObjectReference,
): Promise<Scaled> {
  if (apiVersion.split('/').length > 2) throw new Error(`unexpected GroupVersion string: ${apiVersion}`)
  await served.known
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
  const found = served.current.find(k => k.group === group && k.kind === kind)
  if (!found) {
    served.missing()
    throw new Error(`no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`)
  }
  const root = group === '' ? `/api/${found.version}` : `/apis/${group}/${found.version}`
  const path = `${root}/namespaces/${encodeURIComponent(namespace)}/${found.plural}/${encodeURIComponent(name)}/scale`
  return { path, object: await client.raw<Scale>('GET', path) }
}

export async function setScale(client: Client, { path, object }: Scaled, replicas: number): Promise<void> {
  await client.raw('PUT', path, { ...object, spec: { ...object.spec, replicas } })
}
