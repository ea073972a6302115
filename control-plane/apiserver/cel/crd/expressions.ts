/**
 * CustomResourceDefinitions with the rules that their expressions must follow. What has none is not looked at, so that the engine stays
 * away.
 */
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { Resource } from '#shared/api/resource.ts'
import { errorsBesideRules, type Schema } from '#shared/api/apiextensions/schemavalidation.ts'
import type { FieldError, Path } from '#shared/machinery/field.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import { cel } from '../load.ts'

/** Whether there is a rule somewhere in the schema. */
export function hasRules(schema: JsonSchema | undefined): boolean {
  if (!schema) return false
  if (schema['x-kubernetes-validations']?.length) return true
  const { items, properties, additionalProperties: rest, allOf } = schema
  return (
    hasRules(items) ||
    (typeof rest === 'object' && hasRules(rest)) ||
    Object.values(properties ?? {}).some(hasRules) ||
    (allOf ?? []).some(hasRules)
  )
}

/** For the kind of definitions. */
export function withRules(resource: Resource): Resource {
  const { validate, validateUpdate } = resource
  return {
    ...resource,
    validate: undefined,
    validateCreate: (object, at) => {
      const errors = [...(validate?.(object, at) ?? []), ...(resource.validateCreate?.(object, at) ?? [])]
      return [...errors, ...rulesErrors(object as CustomResourceDefinition, undefined, at, errors.length === 0)]
    },
    validateUpdate: (object, old, at, writer) => {
      // Their status is written without a look at the spec.
      const errors = [
        ...(writer.subresource === 'status' ? [] : (validate?.(object, at) ?? [])),
        ...(validateUpdate?.(object, old, at, writer) ?? []),
      ]
      if (writer.subresource === 'status') return errors
      return [...errors, ...rulesErrors(object as CustomResourceDefinition, old as CustomResourceDefinition, at, errors.length === 0)]
    },
  } as Resource
}

/** Of what was stored like this before nothing is said. `sound`: nothing else is wrong with the definition. */
function rulesErrors(
  { spec }: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
  at: Path,
  sound: boolean,
): FieldError[] {
  const { versions } = spec
  const schemaOf = (v: (typeof versions)[number] | undefined): JsonSchema | undefined =>
    v?.schema?.openAPIV3Schema as JsonSchema | undefined
  const same = versions.length > 1 && versions.every(v => semanticEqual(schemaOf(v), schemaOf(versions[0])))
  // Upstream reports what all versions have in common at the top.
  const places =
    same || versions.length === 1
      ? versions.slice(0, 1).map(v => ({ v, here: at.child('spec', 'validation') }))
      : versions.map((v, i) => ({ v, here: at.child('spec', 'versions').index(i).child('schema') }))
  return places.flatMap(({ v, here }) => {
    const schema = schemaOf(v)
    if (!schema) return []
    const path = here.child('openAPIV3Schema')
    const beside = sound ? [] : errorsBesideRules(schema as Schema, path)
    if (!beside || !hasRules(schema)) return []
    const before = schemaOf(old?.spec.versions.find(o => o.name === v.name))
    const { checkDefaults, checkFieldPaths, checkRules } = cel().definitions
    const paths = checkFieldPaths(schema, path)
    const defaults = checkDefaults(schema, path)
    const rules = defaults.length > 0 ? [] : checkRules(schema, path, semanticEqual(schema, before), [...beside, ...paths])
    return [...defaults, ...paths, ...rules]
  })
}
