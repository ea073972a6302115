/** One resource as it is served in one group and version. */
import { apiVersion, listKindOf, resourceIn, versionsOf, type Resource, type Verb, type Version } from '#shared/api/resource.ts'
import { structCodec, type Codec } from '#shared/machinery/codec.ts'
import { structuralCodec } from '#shared/machinery/structural/codec.ts'
import type { GroupResource } from '#shared/machinery/status.ts'
import type { Table } from '../registry/registry.ts'
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

/** A version of a kind with its codec. */
export interface Form {
  readonly definition: Version
  readonly codec: Codec
}

export interface Endpoint extends Form {
  readonly resource: Resource
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly listKind: string
  readonly plural: string
  /** `apps/v1`, `v1`. */
  readonly apiVersion: string
  /** The form that objects are stored in and that all rules work on. */
  readonly hub: { readonly apiVersion: string; readonly codec: Codec; readonly resource: Resource }
  /** By apiVersion: all that objects, stored ones too, and entries of managedFields may be of. */
  readonly forms: ReadonlyMap<string, Form>
  /** Whether every object is stored as it is served: there is one version only, whose schema they all follow. */
  readonly sole: boolean
  /** Where the objects are. */
  readonly table: Table
  /** For errors: group and plural as served. */
  readonly groupResource: GroupResource
  /** How the JSON of an object of this version begins: list items leave it out. */
  readonly head: Buffer
  /** What every client of this version is warned of. */
  readonly deprecated: string | undefined
  readonly hooks: Hooks | undefined
  /** All endpoints of a kind have one. */
  readonly lifetime: Lifetime
}

const defaultVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
export const serves = (endpoint: Endpoint, verb: string): boolean => (endpoint.resource.verbs ?? defaultVerbs).includes(verb as Verb)

/** By the rules that the version has. */
const codecOf = ({ schema, structural }: Pick<Version, 'schema' | 'structural'>): Codec =>
  structural ? structuralCodec(structural) : structCodec(schema)

/** The endpoints of a kind, one for each group and version. */
export function endpointsOf(resource: Resource, hooks?: Hooks, lifetime: Lifetime = new Lifetime()): Endpoint[] {
  const { group, kind, plural } = resource
  const hub = { apiVersion: apiVersion(resource), codec: codecOf(resource), resource }
  const versions = versionsOf(resource)
  const former = (resource.formerVersions ?? []).map(version => ({ ...version, group }))
  const forms = new Map([...versions, ...former].map(version => [apiVersion(version), { definition: version, codec: codecOf(version) }]))
  return versions.map(version => {
    const own = apiVersion(version)
    return {
      ...forms.get(own)!,
      resource: resourceIn(resource, version),
      group: version.group,
      version: version.version,
      kind,
      listKind: listKindOf(resource),
      plural,
      apiVersion: own,
      hub,
      forms,
      sole: forms.size === 1 && resource.schemaSince === undefined,
      table: { group: resource.group, plural },
      groupResource: { group: version.group, resource: plural },
      head: Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(own)},`),
      deprecated: version.deprecated ?? (own === hub.apiVersion ? resource.deprecated : undefined),
      hooks,
      lifetime,
    }
  })
}
