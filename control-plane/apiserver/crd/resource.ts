/** A CustomResourceDefinition as a resource like any other. Nothing is made of its schemas before an object is decoded by them. */
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
  WebhookConversion,
} from '#shared/api/apiextensions/customresourcedefinition.ts'
import { objectMeta, typeMeta, type KubeObject } from '#shared/api/meta/objectmeta.ts'
import { versionOrder } from '#shared/api/meta/versions.ts'
import { apiVersion, type Resource, type Subresource, type Verb, type Version } from '#shared/api/resource.ts'
import { scaleSubresource } from '#shared/api/autoscaling/scale.ts'
import { parseJsonPath } from '#shared/machinery/jsonpath.ts'
import { obj, opt, type ObjectSchema } from '#shared/machinery/schema.ts'
import type { JsonSchema, StructuralSchema } from '#shared/machinery/structural/schema.ts'
import { hasRules } from '../cel/crd/expressions.ts'
import { cel } from '../cel/load.ts'
import type { Stored } from '../registry/registry.ts'
import { columnsOf } from './columns.ts'
import { conversionsOf, type Converter } from './conversion.ts'
import { scaleOf, scaleRules } from './scale.ts'

/** Where a definition is: it may be stored anew as long as it says the same of the kind. */
export interface Source {
  stored: Stored
}

const definitionOf = ({ stored }: Source): CustomResourceDefinition => stored.object as CustomResourceDefinition

/**
 * The kind under the names that the definition was given. `digest` is of all that it is made from; `since` is where the objects begin that
 * were stored under these schemas, when there are others; `webhook` makes what converts with a webhook.
 */
export function resourceOf(
  source: Source,
  names: CustomResourceDefinitionNames,
  digest: string,
  since: number | undefined,
  webhook: (webhook: WebhookConversion) => Converter,
): Resource {
  const { spec } = definitionOf(source)
  const { group } = spec
  const storage = spec.versions.find(v => v.storage)
  if (!storage) throw new Error('no storage version')
  const structural = new Map(spec.versions.map(v => [v.name, structuralOf(source, v.name)]))
  const { conversion } = spec
  const converter = conversion?.strategy === 'Webhook' && conversion.webhook ? webhook(conversion.webhook) : undefined
  const convert = conversionsOf(spec, structural, converter)
  const versionOf = (v: CustomResourceDefinitionVersion): Version => {
    const fields = fieldsOf(v)
    const deprecated = deprecationOf(spec, v)
    const conversion = v.storage ? undefined : convert(v.name)
    return {
      version: v.name,
      schema: schemaOf(group, v.name, names.kind),
      structural: structural.get(v.name)!,
      ...(conversion ? { conversion } : {}),
      columns: columnsOf(v.additionalPrinterColumns),
      ...(fields ? { fields } : {}),
      ...(deprecated === undefined ? {} : { deprecated }),
    }
  }
  const resource: Resource = {
    group,
    version: storage.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    ...(names.listKind ? { listKind: names.listKind } : {}),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === 'Namespaced',
    schema: schemaOf(group, storage.name, names.kind),
    structural: structural.get(storage.name)!,
    digest,
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    warnings: finalizerWarnings,
    shownVerbs,
    ...(since === undefined ? {} : { schemaSince: since }),
    ...subresourcesOf(storage),
  }
  const same = sameSubresources(storage)
  const versions = spec.versions
    .filter(v => v.served)
    .map(v => (same(v) ? versionOf(v) : { ...versionOf(v), resource: withSubresources(resource, v) }))
  const formerVersions = spec.versions.filter(v => !v.served).map(versionOf)
  return { ...resource, versions, ...(formerVersions.length > 0 ? { formerVersions } : {}) }
}

/** The type's name in OpenAPI has the group the other way round. Its fields are those of the structural schema. */
const schemaOf = (group: string, version: string, kind: string): ObjectSchema =>
  obj(`${group.split('.').reverse().join('.')}.${version}.${kind}`, '', () => ({ ...typeMeta(), metadata: opt(1, objectMeta) }))

const structuralOf = (source: Source, version: string): StructuralSchema => ({
  get root() {
    const { schema } = definitionOf(source).spec.versions.find(v => v.name === version) ?? {}
    return (schema?.openAPIV3Schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }) as JsonSchema
  },
  ...(definitionOf(source).spec.preserveUnknownFields ? { preserveUnknown: true } : {}),
  rules: ({ schema }) => (hasRules(schema) ? cel().definitions.rulesOf(schema) : undefined),
})

const writeVerbs = ['get', 'patch', 'update'] as const

function subresourcesOf({ subresources }: CustomResourceDefinitionVersion): Partial<Resource> {
  const all: Record<string, Subresource> = {}
  if (subresources?.status) all['status'] = { verbs: writeVerbs }
  if (subresources?.scale) all['scale'] = scaleSubresource
  return {
    subresources: all,
    hasStatus: subresources?.status !== undefined,
    ...(subresources?.scale ? { scale: scaleOf(subresources.scale), ...scaleRules(subresources.scale) } : {}),
  }
}

/** The same resource with the subresources of another version. */
function withSubresources(resource: Resource, v: CustomResourceDefinitionVersion): Resource {
  const { scale: _s, validateCreate: _c, validateUpdate: _u, ...rest } = resource
  return { ...rest, ...subresourcesOf(v) }
}

const sameSubresources =
  (a: CustomResourceDefinitionVersion) =>
  (b: CustomResourceDefinitionVersion): boolean =>
    JSON.stringify(a.subresources ?? {}) === JSON.stringify(b.subresources ?? {})

/** By the path without its dot. */
function fieldsOf({ selectableFields = [] }: CustomResourceDefinitionVersion): Version['fields'] {
  if (selectableFields.length === 0) return undefined
  return Object.fromEntries(
    selectableFields.map(({ jsonPath }) => {
      const find = parseJsonPath(jsonPath)
      return [jsonPath.replace(/^\./, ''), (o: KubeObject): string => String(find(o)[0] ?? '')]
    }),
  )
}

/** What clients of a deprecated version are told: to use the newest that is better than it. */
function deprecationOf(spec: CustomResourceDefinition['spec'], v: CustomResourceDefinitionVersion): string | undefined {
  if (!v.deprecated) return undefined
  if (v.deprecationWarning !== undefined) return v.deprecationWarning
  const name = (version: string): string => `${apiVersion({ group: spec.group, version })} ${spec.names.kind}`
  const [better] = spec.versions
    .filter(other => other.served && !other.deprecated && versionOrder(other.name, v.name) < 0)
    .map(other => other.name)
    .sort(versionOrder)
  return `${name(v.name)} is deprecated${better === undefined ? '' : `; use ${name(better)}`}`
}

const standardFinalizers = ['orphan', 'foregroundDeletion', 'kubernetes']
/** Finalizers of a custom kind need no domain, but should have one. */
function finalizerWarnings({ metadata }: KubeObject, old: KubeObject | undefined): string[] {
  return (metadata.finalizers ?? [])
    .filter(f => !f.includes('/') && !standardFinalizers.includes(f) && !old?.metadata.finalizers?.includes(f))
    .sort()
    .map(
      f =>
        `metadata.finalizers: ${JSON.stringify(f)}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers`,
    )
}

/** Verbs in discovery, in upstream's order; the second, while the kind is emptied. */
const shownVerbs: readonly Verb[] = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch']
export const terminatingVerbs: readonly Verb[] = ['delete', 'deletecollection', 'get', 'list', 'watch']
