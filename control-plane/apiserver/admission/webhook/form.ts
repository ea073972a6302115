/** The object of a request in the version that a webhook is asked in, and back. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Codec } from '#shared/machinery/codec.ts'
import { DecodeError } from '#shared/machinery/decode.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { internalError } from '#shared/machinery/status.ts'
import { toStored } from '../../objects/body.ts'
import { servedOfHub } from '../../objects/conversion.ts'
import type { Serving } from '../../surface.ts'
import type { Attributes } from '../admission.ts'
import type { Endpoint } from '../../objects/endpoint.ts'
import type { Match } from '../matching.ts'
import type { Objects } from './review.ts'

export interface Form {
  /** Of the objects; absent for bodies whose kind has none. */
  readonly codec: Codec | undefined
  readonly objects: Maybe<Objects>
  /** A document as an object of this version. Throws 500 when it is none. */
  read(document: unknown): KubeObject
  /** An object of this version, defaulted, as the request's object is kept. It may become the result. */
  stored(object: KubeObject): Maybe<KubeObject>
}

export function formOf(a: Attributes, { resource, kind }: Match, serving: Serving): Form {
  const own = endpointOf(serving, a.requestResource)
  const endpoint = own && isOfKind(a, own) ? endpointOf(serving, resource) : undefined
  if (!endpoint) {
    const { codec } = a
    const typed = (object: KubeObject | undefined): KubeObject | undefined =>
      object && { ...object, kind: kind.kind, apiVersion: versionOf(kind) }
    return {
      codec,
      objects: { object: typed(a.object), old: typed(a.old) },
      read: document => (codec ? decoded(() => codec.decodeValue(document).object) : document) as KubeObject,
      stored(object) {
        object.metadata ??= {}
        codec?.applyDefaults(object)
        return object
      },
    }
  }
  const { codec, apiVersion } = endpoint
  const shown = (object: KubeObject | undefined): Maybe<KubeObject | undefined> =>
    object &&
    after(servedOfHub(endpoint, object), served =>
      served.apiVersion === apiVersion && served.kind === kind.kind ? served : { ...served, kind: kind.kind, apiVersion },
    )
  return {
    codec,
    objects: after(shown(a.object), object => after(shown(a.old), old => ({ object, old }))),
    read(document) {
      const object = decoded(() => codec.decodeValue(document).object) as KubeObject
      object.kind = kind.kind
      object.apiVersion = apiVersion
      return object
    },
    stored: object => toStored(endpoint, object),
  }
}

const endpointOf = (serving: Serving, { group, version, resource }: Match['resource']): Endpoint | undefined =>
  serving.endpoints.get(`${group}/${version}/${resource}`)

/** Whether the object of a request is one of the endpoint, not the body of a subresource with a kind of its own. */
const isOfKind = ({ requestKind: k }: Attributes, { group, version, kind }: Endpoint): boolean =>
  k.kind === kind && k.group === group && k.version === version

const versionOf = ({ group, version }: Match['kind']): string => (group ? `${group}/${version}` : version)

function decoded<T>(decode: () => T): T {
  try {
    return decode()
  } catch (e) {
    if (e instanceof DecodeError) throw internalError(e.message)
    throw e
  }
}
