/** Label and field selectors of a request as one predicate, with what the registry can look up by itself. */
import { matchesFields, parseFieldSelector } from '#shared/machinery/fieldselector.ts'
import { matchesLabels, parseLabelSelector } from '#shared/machinery/labels.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import type { IndexedValue, Stored } from '../registry/registry.ts'
import { servedAll } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'

export interface Selection {
  /** Absent when everything is selected. */
  readonly matches?: (stored: Stored) => boolean
  /**
   * To be waited for before objects are given to `matches`: absent when fields are those of the stored form. Throws when an object cannot
   * be converted.
   */
  readonly ready?: (stored: readonly Stored[]) => Maybe<void>
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
  const converted =
    fields.some(f => Object.hasOwn(own, f.field)) && endpoint.definition.fields && !endpoint.sole ? shownFields(endpoint) : undefined
  const ownValue = (stored: Stored, field: string): string =>
    converted ? converted.values.get(stored)![field]! : (stored.indexed?.[field] ?? own[field]!(stored.object))
  const matches = (stored: Stored): boolean => {
    if (wanted && stored.name !== wanted.value) return false
    if (labels.length > 0 && !matchesLabels(labels, stored.labels)) return false
    const valueOf = (field: string): string =>
      field === 'metadata.name' ? stored.name : field === 'metadata.namespace' ? stored.namespace : ownValue(stored, field)
    return fields.length === 0 || matchesFields(fields, valueOf)
  }
  return {
    ...(labels.length + fields.length > 0 ? { matches } : {}),
    ...(converted ? { ready: converted.ready } : {}),
    ...(wanted ? { name: wanted.value } : {}),
    ...(indexed ? { index: { path: indexed.field, value: indexed.value } } : {}),
  }
}

interface ShownFields {
  readonly values: WeakMap<Stored, { readonly [field: string]: string }>
  readonly ready: (stored: readonly Stored[]) => Maybe<void>
}
const shown = new WeakMap<Endpoint, ShownFields>()

/** The selectable fields of a version as that shows them: a webhook may have to be asked, once for all who select. */
function shownFields(endpoint: Endpoint): ShownFields {
  const known = shown.get(endpoint)
  if (known) return known
  const own = Object.entries(endpoint.definition.fields ?? {})
  const values: ShownFields['values'] = new WeakMap()
  const ready: ShownFields['ready'] = stored => {
    const missing = stored.filter(s => !values.has(s))
    if (missing.length === 0) return
    return after(servedAll(endpoint, missing), objects =>
      objects.forEach((object, i) => values.set(missing[i]!, Object.fromEntries(own.map(([field, valueOf]) => [field, valueOf(object)])))),
    )
  }
  const made = { values, ready }
  shown.set(endpoint, made)
  return made
}

function parse<T>(read: () => T): T {
  try {
    return read()
  } catch (e) {
    throw badRequest((e as Error).message)
  }
}
