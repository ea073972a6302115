/** Objects as Table, PartialObjectMetadata and PartialObjectMetadataList. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { notAcceptable, type Output } from '../chain/mediatype.ts'
import type { Endpoint } from '../objects/endpoint.ts'
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

function includeObjectOf(query: URLSearchParams): IncludeObject {
  const includeObject = parseIncludeObject(query.get('includeObject'))
  if (includeObject === undefined) throw badRequest(`unrecognized includeObject value: ${JSON.stringify(query.get('includeObject'))}`)
  return includeObject
}

/** One object in the view that the client asks for. `headers` is false in a watch after its first event. */
export function objectAs(endpoint: Endpoint, object: KubeObject, output: Output, query: URLSearchParams, headers = true): object {
  if (output.as === 'PartialObjectMetadata') return partialMetadata(object, output.version)
  if (output.as === 'Table')
    return table(endpoint, [object], { resourceVersion: object.metadata.resourceVersion ?? '' }, output, query, headers)
  throw notAcceptable()
}

/** A list in the view that the client asks for. */
export function listAs(
  endpoint: Endpoint,
  objects: readonly KubeObject[],
  meta: Table['metadata'],
  output: Output,
  query: URLSearchParams,
): Table | PartialObjectMetadataList {
  if (output.as === 'Table') return table(endpoint, objects, meta, output, query, true)
  if (output.as === 'PartialObjectMetadataList' || output.as === 'PartialObjectMetadata')
    return partialMetadataList(objects, meta, output.version)
  throw notAcceptable()
}

function table(
  endpoint: Endpoint,
  objects: readonly KubeObject[],
  meta: Table['metadata'],
  output: Output,
  query: URLSearchParams,
  headers: boolean,
): Table {
  return tableOf(endpoint.resource, objects, meta, { version: output.version, includeObject: includeObjectOf(query), headers })
}
