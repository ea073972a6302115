/** Objects as Table, PartialObjectMetadata and PartialObjectMetadataList. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Output } from '../handler/mediatype.ts'
import type { Endpoint } from '../rest/endpoint.ts'

const partial = (object: KubeObject, output: Output): object => ({ kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${output.version}`, metadata: object.metadata })

/** One object in the view that the client asks for. */
export function objectAs(endpoint: Endpoint, object: KubeObject, output: Output, query: URLSearchParams): object {
  if (output.as === 'PartialObjectMetadata') return partial(object, output)
  if (output.as === 'Table') return tableOf(endpoint, [object], { resourceVersion: object.metadata.resourceVersion ?? '' }, output, query)
  throw new StatusError(406, 'NotAcceptable', 'only the following media types are accepted: application/json, application/yaml')
}

/** A list in the view that the client asks for. */
export function listAs(endpoint: Endpoint, objects: readonly KubeObject[], meta: object, output: Output, query: URLSearchParams): object {
  if (output.as === 'Table') return tableOf(endpoint, objects, meta, output, query)
  if (output.as === 'PartialObjectMetadataList' || output.as === 'PartialObjectMetadata') {
    return { kind: 'PartialObjectMetadataList', apiVersion: `meta.k8s.io/${output.version}`, metadata: meta, items: objects.map(o => partial(o, output)) }
  }
  throw new StatusError(406, 'NotAcceptable', 'only the following media types are accepted: application/json, application/yaml')
}

function tableOf(_endpoint: Endpoint, objects: readonly KubeObject[], meta: object, output: Output, _query: URLSearchParams): object {
  return { kind: 'Table', apiVersion: `meta.k8s.io/${output.version}`, metadata: meta, columnDefinitions: [{ name: 'Name', type: 'string', format: 'name', description: '', priority: 0 }], rows: objects.map(o => ({ cells: [o.metadata.name], object: partial(o, output) })) }
}
