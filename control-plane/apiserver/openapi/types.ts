/** The types that a group version's document describes. */
import { scale } from '#shared/api/autoscaling/scale.ts'
import { tokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import { binding } from '#shared/api/core/binding.ts'
import { listMeta } from '#shared/api/meta/listmeta.ts'
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { deleteOptions } from '#shared/api/meta/options.ts'
import { status } from '#shared/api/meta/status.ts'
import { eviction } from '#shared/api/policy/eviction.ts'
import { listKindOf, resourceIn, versionsOf, type Resource, type Subresource } from '#shared/api/resource.ts'
import type { StructuralSchema } from '#shared/machinery/structural/schema.ts'
import { list, obj, opt, req, type ObjectSchema } from '#shared/machinery/schema.ts'
import { defineStructural } from './structural.ts'
import { define, type Definitions } from './definitions.ts'
import { operationsOf, patchType, type Operation, type Subject } from './operations.ts'

/** A kind with what describes it. */
interface Described extends Subject {
  readonly schema: ObjectSchema
  readonly structural: StructuralSchema | undefined
  /** Of custom kinds: the fields that selectors may name. */
  readonly selectable: readonly string[]
}

/** One version of a group with all that is served in it. */
export interface GroupVersion {
  readonly group: string
  readonly version: string
  readonly subjects: readonly Described[]
}

/** Bodies of subresources that are of another kind. */
const bodies: Readonly<Record<string, ObjectSchema>> = { Scale: scale, Binding: binding, Eviction: eviction, TokenRequest: tokenRequest }

/** Every group version that the resources are served in. */
export function groupVersions(resources: readonly Resource[]): GroupVersion[] {
  const out = new Map<string, { group: string; version: string; subjects: Described[] }>()
  for (const resource of resources) {
    for (const v of versionsOf(resource)) {
      const { group, version, schema, structural, fields } = v
      const key = `${group}/${version}`
      let gv = out.get(key)
      if (!gv) out.set(key, (gv = { group, version, subjects: [] }))
      gv.subjects.push({
        resource: resourceIn(resource, v),
        group,
        version,
        schema,
        structural,
        type: schema.name,
        selectable: structural ? Object.keys(fields ?? {}) : [],
        listType: resource.listKind ? schema.name.replace(/[^.]*$/, resource.listKind) : `${schema.name}List`,
      })
    }
  }
  return [...out.values()]
}

/** Whether two states of a group version describe the same kinds. */
export const sameSubjects = (a: GroupVersion, b: GroupVersion): boolean =>
  a.subjects.length === b.subjects.length && a.subjects.every((s, i) => s.resource === b.subjects[i]!.resource)

const gvk = (group: string, version: string, kind: string): object => ({ 'x-kubernetes-group-version-kind': [{ group, version, kind }] })

/** Defines all types of a group version, and returns its operations. */
export function describe(gv: GroupVersion, into: Definitions): Operation[] {
  into.schemas[patchType] = { description: 'A change to an object, in the form that the content type names.', type: 'object' }
  define(into, deleteOptions, gvk(gv.group, gv.version, 'DeleteOptions') as Record<string, unknown>)
  define(into, status, gvk('', 'v1', 'Status') as Record<string, unknown>)
  const operations: Operation[] = []
  for (const subject of gv.subjects) {
    const { resource, schema, structural } = subject
    const selectable = subject.selectable.map(fieldPath => ({ fieldPath }))
    const said = (kind: string): Record<string, unknown> => ({
      ...gvk(gv.group, gv.version, kind),
      ...(selectable.length > 0 ? { 'x-kubernetes-selectable-fields': selectable } : {}),
    })
    if (structural) defineStructural(into, schema, structural, said(resource.kind))
    else define(into, schema, said(resource.kind))
    define(into, listOf(schema, resource.kind, subject.listType), said(listKindOf(resource)))
    operations.push(...operationsOf(subject, (_, sub) => typeOfSubresource(into, subject, sub)))
  }
  return operations
}

function typeOfSubresource(into: Definitions, subject: Described, sub: Subresource): string {
  if (sub.kind === undefined || sub.kind === subject.resource.kind) return subject.schema.name
  const body = bodies[sub.kind]
  if (!body) return ''
  define(into, body, gvk(sub.group ?? subject.group, sub.version ?? subject.version, sub.kind) as Record<string, unknown>)
  return body.name
}

const listOf = (schema: ObjectSchema, kind: string, name: string): ObjectSchema =>
  obj(name, `A list of objects of kind ${kind}.`, () => ({
    ...typeMeta(),
    metadata: opt(1, listMeta, { doc: 'Standard metadata of lists.', default: {} }),
    items: req(2, list(schema), { doc: 'The objects.' }),
  }))
