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
 * Gives the same objects, in the same order, in another version (`stable.example.com/v2`). They are of one version, and must not be changed.
 * Throws a StatusError. What the schema of that version does not know is taken out by the caller.
 */
export type Converter = (objects: Objects, desired: string) => Maybe<Objects>

/** Strategy None: only the name of the version is another. */
const none: Converter = (objects, desired) => objects.map(object => ({ ...object, apiVersion: desired }))

/** For each version but the storage version, the hub form, how objects come there and back. */
export function conversionsOf(
  spec: CustomResourceDefinitionSpec,
  schemas: ReadonlyMap<string, StructuralSchema>,
  convert: Converter = none,
): (version: string) => NonNullable<Version['conversion']> {
  const { group } = spec
  const into =
    (version: string) =>
    (objects: Objects): Maybe<Objects> =>
      after(convert(objects, apiVersion({ group, version })), converted => converted.map(object => pruned(schemas.get(version)!, object)))
  const toHub = into(spec.versions.find(v => v.storage)!.name)
  return version => ({ toHub, fromHub: into(version) })
}

function pruned(schema: StructuralSchema, object: KubeObject): KubeObject {
  const copy = clone(object)
  structuralCodec(schema).prune!(copy)
  return copy
}
