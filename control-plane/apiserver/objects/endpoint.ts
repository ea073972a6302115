/** One resource as it is served in one group and version. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Alternate, type Resource, type Verb } from '#shared/api/resource.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import type { GroupResource } from '#shared/machinery/status.ts'
import type { Stored, Table } from '../registry/registry.ts'
import type { Hooks } from './hooks.ts'

/** How long an endpoint is served: what hangs on it ends with it. */
export class Lifetime {
  #over = false
  readonly #enders = new Set<() => void>()

  /** Calls `ender` when the endpoint is served no more, at once when that has come to pass. Returns how to take it back. */
  onEnd(ender: () => void): () => void {
    if (this.#over) ender()
    else this.#enders.add(ender)
    return () => this.#enders.delete(ender)
  }

  end(): void {
    this.#over = true
    for (const ender of [...this.#enders]) ender()
    this.#enders.clear()
  }
}

export interface Endpoint {
  readonly resource: Resource
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  /** `apps/v1`, `v1`. */
  readonly apiVersion: string
  readonly schema: ObjectSchema
  /** How the stored form becomes this version's; absent when they are the same. */
  readonly alternate?: Alternate<any> // any: each function knows its own kind
  /** Where the objects are. */
  readonly table: Table
  /** For errors: group and plural as served. */
  readonly groupResource: GroupResource
  /** How every stored JSON of this kind begins: list items leave it out. */
  readonly head: Buffer
  readonly hooks: Hooks | undefined
  /** All endpoints of a kind have one. */
  readonly lifetime: Lifetime
}

const defaultVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
export const serves = (endpoint: Endpoint, verb: string): boolean => (endpoint.resource.verbs ?? defaultVerbs).includes(verb as Verb)

function endpointOf(resource: Resource, hooks: Hooks | undefined, lifetime: Lifetime, alternate?: Alternate<any>): Endpoint {
  const { group, version } = alternate ?? resource
  const own = apiVersion({ group, version })
  return {
    resource,
    group,
    version,
    kind: resource.kind,
    plural: resource.plural,
    apiVersion: own,
    schema: alternate?.schema ?? resource.schema,
    ...(alternate ? { alternate } : {}),
    table: { group: resource.group, plural: resource.plural },
    groupResource: { group, resource: resource.plural },
    head: Buffer.from(`{"kind":${JSON.stringify(resource.kind)},"apiVersion":${JSON.stringify(own)},`),
    hooks,
    lifetime,
  }
}

/** The endpoints of a kind, one for each group and version. */
export function endpointsOf(resource: Resource, hooks?: Hooks): Endpoint[] {
  const lifetime = new Lifetime()
  return [undefined, ...(resource.alsoServedAs ?? [])].map(alternate => endpointOf(resource, hooks, lifetime, alternate))
}

/** An object as this endpoint shows it; must not be changed. */
export const served = (endpoint: Endpoint, stored: Stored): KubeObject =>
  endpoint.alternate ? endpoint.alternate.fromStored(stored.object) : stored.object
/** The same as JSON: the stored bytes when nothing has to be converted. */
export const servedJson = (endpoint: Endpoint, stored: Stored): Buffer =>
  endpoint.alternate ? convertedJson(endpoint, stored) : stored.json

// Converted once for all who watch or list.
const converted = new WeakMap<Endpoint, WeakMap<Stored, Buffer>>()
function convertedJson(endpoint: Endpoint, stored: Stored): Buffer {
  let of = converted.get(endpoint)
  if (!of) converted.set(endpoint, (of = new WeakMap()))
  let json = of.get(stored)
  if (!json) of.set(stored, (json = Buffer.from(JSON.stringify(endpoint.alternate!.fromStored(stored.object)))))
  return json
}
