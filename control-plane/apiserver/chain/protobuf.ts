/** What is no object of a kind (Status, views, bodies of subresources) as `application/vnd.kubernetes.protobuf`, by kind and apiVersion. */
import { scale } from '#shared/api/autoscaling/scale.ts'
import { tokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import { tokenReview } from '#shared/api/authentication/tokenreview.ts'
import { binding } from '#shared/api/core/binding.ts'
import { listMeta } from '#shared/api/meta/listmeta.ts'
import { objectMeta, typeMeta } from '#shared/api/meta/objectmeta.ts'
import { status } from '#shared/api/meta/status.ts'
import { eviction } from '#shared/api/policy/eviction.ts'
import { encodeMessage, enveloped } from '#shared/machinery/protobuf-encode.ts'
import { list, obj, opt, req, type ObjectSchema } from '#shared/machinery/schema.ts'

export const protobufType = 'application/vnd.kubernetes.protobuf'

const listOf = (schema: ObjectSchema): ObjectSchema =>
  obj(`${schema.name}List`, '', () => ({ ...typeMeta(), metadata: opt(1, listMeta, { default: {} }), items: req(2, list(schema)) }))
const partial = obj('io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata', '', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { default: {} }),
}))
const partialList = listOf(partial)

const others: readonly (readonly [apiVersion: string, kind: string, schema: ObjectSchema])[] = [
  ['v1', 'Status', status],
  ['v1', 'Binding', binding],
  ['autoscaling/v1', 'Scale', scale],
  ['authentication.k8s.io/v1', 'TokenRequest', tokenRequest],
  ['authentication.k8s.io/v1', 'TokenReview', tokenReview],
  ['policy/v1', 'Eviction', eviction],
  ...['meta.k8s.io/v1', 'meta.k8s.io/v1beta1'].flatMap(
    v =>
      [
        [v, 'PartialObjectMetadata', partial],
        [v, 'PartialObjectMetadataList', partialList],
      ] as const,
  ),
]

const schemas = new Map(others.map(([v, k, schema]) => [`${v} ${k}`, schema]))

/** In its envelope. Undefined for what has no protobuf form, which is answered as JSON. */
export function encodeValue(value: unknown): Buffer | undefined {
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown }
  const schema = schemas.get(`${String(apiVersion)} ${String(kind)}`)
  return schema && enveloped(String(apiVersion), String(kind), encodeMessage(schema, value as object))
}
