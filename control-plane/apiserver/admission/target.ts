/** What the requests for an endpoint are about. */
import type { DeleteOptions } from '#shared/api/meta/options.ts'
import type { Resource } from '#shared/api/resource.ts'
import { structCodec, type Codec } from '#shared/machinery/codec.ts'
import type { WriteParameters } from '../objects/options.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Operation, Options, Target } from './admission.ts'

const targets = new WeakMap<Endpoint, Target>()

export function targetOf(endpoint: Endpoint): Target {
  let target = targets.get(endpoint)
  if (!target) targets.set(endpoint, (target = newTarget(endpoint)))
  return target
}

function newTarget({ resource: r, group, version, kind, plural }: Endpoint): Target {
  return {
    kind: { group: r.group, version: r.version, kind },
    resource: { group: r.group, version: r.version, resource: plural },
    requestKind: { group, version, kind },
    requestResource: { group, version, resource: plural },
  }
}

/** Of a subresource whose body is of another kind; the options of a connection have no codec. */
export function targetOfBody(endpoint: Endpoint, group: string, version: string, kind: string, codec?: Codec): Target {
  const own = { group, version, kind }
  return { ...targetOf(endpoint), kind: own, requestKind: own, codec }
}

/** Of a kind that is answered without a store. */
export function targetOfKind({
  group,
  version,
  kind,
  plural,
  schema,
}: Pick<Resource, 'group' | 'version' | 'kind' | 'plural'> & Partial<Pick<Resource, 'schema'>>): Target {
  const [own, resource] = [
    { group, version, kind },
    { group, version, resource: plural },
  ]
  return { kind: own, resource, requestKind: own, requestResource: resource, codec: schema && structCodec(schema) }
}

/** The options of a write as an object. */
export function writeOptions(operation: Operation, p: WriteParameters | undefined): Options {
  return {
    kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions',
    apiVersion: 'meta.k8s.io/v1',
    ...(p?.dryRun ? { dryRun: ['All'] } : {}),
    ...(p?.fieldManager ? { fieldManager: p.fieldManager } : {}),
    ...(p ? { fieldValidation: p.fieldValidation } : {}),
  }
}
export const deleteOptions = (o: DeleteOptions): Options => ({ ...o, kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1' })
