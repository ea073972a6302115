/** Label and field selectors of a request as one predicate, with what the registry can look up by itself. */
import { matchesFields, parseFieldSelector } from '#shared/machinery/fieldselector.ts'
import { matchesLabels, parseLabelSelector } from '#shared/machinery/labels.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { IndexedValue, Stored } from '../registry/registry.ts'
import type { Endpoint } from './endpoint.ts'

export interface Selection {
  /** Absent when everything is selected. */
  readonly matches?: (stored: Stored) => boolean
  /** Set when only objects of this name are selected. */
  readonly name?: string
  /** Set when only objects with this value in an indexed field are. */
  readonly index?: IndexedValue
}

const everything: Selection = {}

/** Parses the selectors. Throws 400 in upstream's words. */
export function selectionOf(endpoint: Endpoint, labelSelector: string, fieldSelector: string, name = ''): Selection {
  if (labelSelector === '' && fieldSelector === '' && name === '') return everything
  const labels = parse(() => parseLabelSelector(labelSelector))
  const fields = parse(() => parseFieldSelector(fieldSelector))
  if (name !== '') fields.push({ field: 'metadata.name', operator: '=', value: name })
  const own = endpoint.definition.fields ?? endpoint.resource.fields ?? {}
  for (const f of fields) {
    if (f.field === 'metadata.name' || (f.field === 'metadata.namespace' && endpoint.resource.namespaced)) continue
    if (Object.hasOwn(own, f.field)) continue
    throw badRequest(
      Object.keys(own).length > 0 || endpoint.resource.structural
        ? `field label not supported: ${f.field}`
        : `${JSON.stringify(f.field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
    )
  }
  const wanted = fields.find(f => f.field === 'metadata.name' && f.operator === '=')
  const indexed = fields.find(f => f.operator === '=' && endpoint.resource.indexed?.includes(f.field))
  const matches = (stored: Stored): boolean => {
    if (wanted && stored.name !== wanted.value) return false
    if (labels.length > 0 && !matchesLabels(labels, stored.labels)) return false
    const valueOf = (field: string): string =>
      field === 'metadata.name'
        ? stored.name
        : field === 'metadata.namespace'
          ? stored.namespace
          : (stored.indexed?.[field] ?? own[field]!(stored.object))
    return fields.length === 0 || matchesFields(fields, valueOf)
  }
  return {
    ...(labels.length + fields.length > 0 ? { matches } : {}),
    ...(wanted ? { name: wanted.value } : {}),
    ...(indexed ? { index: { path: indexed.field, value: indexed.value } } : {}),
  }
}

function parse<T>(read: () => T): T {
  try {
    return read()
  } catch (e) {
    throw badRequest((e as Error).message)
  }
}
