/** What is no object of a kind (Status, views, bodies of subresources) as `application/vnd.kubernetes.protobuf`, by kind and apiVersion. */
import { scale } from '#shared/api/autoscaling/scale.ts'
import { tokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import { tokenReview } from '#shared/api/authentication/tokenreview.ts'
import { binding } from '#shared/api/core/binding.ts'
import { listMeta } from '#shared/api/meta/listmeta.ts'
import { objectMeta, typeMeta } from '#shared/api/meta/objectmeta.ts'
import { status } from '#shared/api/meta/status.ts'
import { eviction } from '#shared/api/policy/eviction.ts'
import { resources } from '#shared/api/resources.ts'
import { apiVersion, versionsOf } from '#shared/api/resource.ts'
import { decodeProtobuf, typeOfProtobuf } from '#shared/machinery/protobuf.ts'
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

let kinds: Map<string, ObjectSchema> | undefined
/** The schema of any kind that answers have, lists of stored objects included. */
function schemaOf(version: string, kind: string): ObjectSchema | undefined {
  const own = schemas.get(`${version} ${kind}`)
  if (own) return own
  kinds ??= new Map(resources.flatMap(r => versionsOf(r).map(v => [`${apiVersion(v)} ${r.kind}`, v.schema] as const)))
  const single = kinds.get(`${version} ${kind}`)
  if (single) return single
  const items = kind.endsWith('List') ? kinds.get(`${version} ${kind.slice(0, -4)}`) : undefined
  return items && listOf(items)
}

/** An object from its envelope, whatever it is; undefined for a kind that is not ours. Throws ProtobufError. */
export function decodeAny(body: Uint8Array): object | undefined {
  const { apiVersion: version, kind } = typeOfProtobuf(body)
  const schema = schemaOf(version, kind)
  return schema && decodeProtobuf(schema, body)
}
