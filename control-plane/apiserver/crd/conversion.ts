/** How the objects of a custom kind become those of another version. */
import type { CustomResourceDefinitionSpec } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Version } from '#shared/api/resource.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { structuralCodec } from '#shared/machinery/structural/codec.ts'
import type { StructuralSchema } from '#shared/machinery/structural/schema.ts'

type Objects = readonly KubeObject[]

/**
 * Gives copies of the objects, in the same order, in another version (`stable.example.com/v2`). They are of one version, and must not be
 * changed. Throws a StatusError.
 */
export type Converter = (objects: Objects, desired: string) => Maybe<Objects>

/** Strategy None: only the name of the version is another. */
const none: Converter = (objects, desired) => objects.map(object => ({ ...clone(object), apiVersion: desired }))

/**
 * For each version but the storage version, the hub form, how objects come there and back. What the hub's schema does not know is still in
 * them when they come there; it is not stored.
 */
export function conversionsOf(
  spec: CustomResourceDefinitionSpec,
  schemas: ReadonlyMap<string, StructuralSchema>,
  convert: Converter = none,
): (version: string) => NonNullable<Version['conversion']> {
  const name = (version: string): string => apiVersion({ group: spec.group, version })
  const hub = name(spec.versions.find(v => v.storage)!.name)
  const pruned = (version: string, objects: Objects): Objects => {
    for (const object of objects) structuralCodec(schemas.get(version)!).prune!(object)
    return objects
  }
  return version => ({
    toHub: objects => convert(objects, hub),
    fromHub: objects => after(convert(objects, name(version)), converted => pruned(version, converted)),
  })
}
