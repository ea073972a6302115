/** Objects as Table, PartialObjectMetadata and PartialObjectMetadataList. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { notAcceptable, type Output } from '../chain/mediatype.ts'
import { hubOfAll, served, servedAll } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Stored } from '../registry/registry.ts'
import { partialMetadata, partialMetadataList, type PartialObjectMetadataList } from '../table/partial.ts'
import { parseIncludeObject, tableOf, type IncludeObject, type Table } from '../table/table.ts'

/** What a BOOKMARK event shows: an object of the kind with nothing but a version. */
export const bookmarkObject = (endpoint: Endpoint, version: number, initialEventsEnd: boolean): KubeObject => ({
  kind: endpoint.kind,
  apiVersion: endpoint.apiVersion,
  metadata: { resourceVersion: String(version), ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}) },
})

/** Throws 406 for a view that no single object has, 400 for a wrong `includeObject`. */
export function checkView(output: Output, query: URLSearchParams): void {
  if (output.as !== '' && output.as !== 'Table' && output.as !== 'PartialObjectMetadata') throw notAcceptable()
  if (output.as === 'Table') includeObjectOf(query)
}

/** Throws 400 when it is none of the three. */
export function includeObjectOf(query: URLSearchParams): IncludeObject {
  const includeObject = parseIncludeObject(query.get('includeObject'))
  if (includeObject === undefined) throw badRequest(`unrecognized includeObject value: ${JSON.stringify(query.get('includeObject'))}`)
  return includeObject
}

/** One object in the view that the client asks for. `headers` is false in a watch after its first event. */
export function objectAs(endpoint: Endpoint, stored: Stored, output: Output, query: URLSearchParams, headers = true): Maybe<object> {
  if (output.as === 'PartialObjectMetadata') return after(served(endpoint, stored), object => partialMetadata(object, output.version))
  if (output.as !== 'Table') throw notAcceptable()
  return table(endpoint, [stored], { resourceVersion: String(stored.version) }, output, query, headers)
}

/** A list in the view that the client asks for. */
export function listAs(
  endpoint: Endpoint,
  items: readonly Stored[],
  meta: Table['metadata'],
  output: Output,
  query: URLSearchParams,
): Maybe<Table | PartialObjectMetadataList> {
  if (output.as === 'Table') return table(endpoint, items, meta, output, query, true)
  if (output.as !== 'PartialObjectMetadataList' && output.as !== 'PartialObjectMetadata') throw notAcceptable()
  return after(servedAll(endpoint, items), objects => partialMetadataList(objects, meta, output.version))
}

/** Cells come from the hub form, unless the version has columns of its own. */
function table(
  endpoint: Endpoint,
  items: readonly Stored[],
  meta: Table['metadata'],
  output: Output,
  query: URLSearchParams,
  headers: boolean,
): Maybe<Table> {
  const { definition, resource } = endpoint
  const options = { version: output.version, includeObject: includeObjectOf(query), headers }
  return after(servedAll(endpoint, items), objects => {
    if (definition.columns) return tableOf(definition.columns, objects, meta, options)
    return after(endpoint.sole ? objects : hubOfAll(endpoint, items), hubs => tableOf(resource.columns, hubs, meta, options, objects))
  })
}
