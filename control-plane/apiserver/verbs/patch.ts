/** patch: JSON patch, merge patch, strategic merge patch, server-side apply. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Codec } from '#shared/machinery/codec.ts'
import { parseObjectPatch } from '#shared/machinery/patch/document.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import { mergePatch } from '#shared/machinery/patch/merge.ts'
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import { StatusError, badRequest } from '#shared/machinery/status.ts'
import { mediaType } from '../chain/mediatype.ts'
import type { Answer } from '../chain/response.ts'
import { readPatched, toStored } from '../objects/body.ts'
import { servedOfHub } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { writeParameters } from '../objects/options.ts'
import { updateObject } from '../objects/update.ts'
import { apply } from './apply.ts'
import { objectAnswer, outputOfObjects, writerOf, type Call } from './context.ts'

/** A generic 415 as upstream's router words it. */
const unsupportedMediaType = (): StatusError => new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {})

/** Custom kinds, whose lists have no merge keys, do not take these. */
export const noStrategicMerge = (): StatusError =>
  new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${Object.keys(kinds)
      .filter(type => kinds[type] !== 'strategic')
      .join(', ')}`,
  )

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply'
const kinds: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
}
export function patchKind(contentType: string | undefined): PatchKind {
  return lookUp(kinds, mediaType(contentType)) ?? fail(unsupportedMediaType())
}
const fail = (e: Error): never => {
  throw e
}

/** An object in the endpoint's version with its schema applied to it by a patch; `document` is not changed. */
export function applyPatch(kind: Exclude<PatchKind, 'apply'>, codec: Codec, document: object, body: Uint8Array): unknown {
  if (kind === 'json') return jsonPatch(document, body)
  if (kind === 'merge') return mergePatch(document, body)
  // As upstream, which patches a struct whose type is given: what the patch says about kind and apiVersion goes nowhere.
  const { kind: is, apiVersion } = document as KubeObject
  if (!codec.strategicMerge) throw noStrategicMerge()
  return { ...(codec.strategicMerge(document, body) as object), kind: is, apiVersion }
}

/** The document of a strategic merge patch; undefined for other kinds. */
export const strategicOf = (kind: PatchKind, body: Uint8Array): (() => unknown) | undefined =>
  kind === 'strategic' ? () => parseObjectPatch(body) : undefined

export async function patch(call: Call): Promise<Answer> {
  const { endpoint, info, request } = call
  const output = outputOfObjects(call)
  const kind = patchKind(request.headers['content-type'])
  call.audit?.requestPatch(request.body)
  if (kind === 'apply') return apply(call, output)
  const p = writeParameters(request.query, 'PatchOptions')
  const writer = writerOf(call, p, info.subresource)
  const warned = call.warnings.length
  const change = async (current: KubeObject | undefined): Promise<KubeObject> => {
    const shown = servedOfHub(endpoint, current!)
    const before = shown instanceof Promise ? await shown : shown
    const document = applyPatch(kind, endpoint.codec, before, request.body)
    // Only the last attempt's complaints count.
    call.warnings.length = warned
    const object = readPatched(call, endpoint, document, p.fieldValidation, strategicOf(kind, request.body))
    object.metadata ??= {}
    checkIdentity(object, before, endpoint)
    return toStored(endpoint, object)
  }
  const { stored } = await updateObject(call.store, endpoint, info.namespace, info.name, change, writer)
  return objectAnswer(call, 200, stored, output)
}

/** A patch may not make another object of it. */
function checkIdentity(object: KubeObject, before: KubeObject, endpoint: Endpoint): void {
  if (object.metadata.name !== before.metadata.name)
    throw badRequest(`the name of the object (${object.metadata.name ?? ''}) does not match the name on the URL (${before.metadata.name})`)
  if ((object.metadata.namespace ?? before.metadata.namespace) !== before.metadata.namespace) {
    throw badRequest(
      `the namespace of the object (${object.metadata.namespace}) does not match the namespace on the request (${before.metadata.namespace})`,
    )
  }
  if (before.metadata.namespace) object.metadata.namespace = before.metadata.namespace
  object.kind = endpoint.kind
  object.apiVersion = endpoint.apiVersion
}
