/** update: PUT of a whole object or of its status. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { readBody, toStored } from '../objects/body.ts'
import { writeParameters } from '../objects/options.ts'
import { dedupOwnerReferences } from '../objects/owners.ts'
import { updateObject } from '../objects/update.ts'
import { objectAnswer, outputOfObjects, writerOf, type Call } from './context.ts'

/** What the body names must be what the path names. Throws 400. */
export function checkNames(object: KubeObject, name: string, namespace: string): void {
  const { metadata } = object
  if (!metadata.name) throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`)
  if (metadata.name !== name) throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`)
  if (namespace !== '' && metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest(`the namespace of the object (${metadata.namespace}) does not match the namespace on the request (${namespace})`)
  }
  if (namespace !== '') metadata.namespace = namespace
  else delete metadata.namespace
}

export async function update(call: Call): Promise<Answer> {
  const { endpoint, info, request } = call
  const output = outputOfObjects(call)
  const p = writeParameters(request.query, 'UpdateOptions')
  const body = readBody(call, endpoint, p.fieldValidation)
  body.metadata ??= {}
  checkNames(body, info.name, info.namespace)
  const object = await toStored(endpoint, body)
  dedupOwnerReferences(object, call.warnings, false)
  // A round changes the object; there may be several.
  const change = (): KubeObject => clone(object)
  const creates = info.subresource === '' && endpoint.resource.allowCreateOnUpdate === true
  const { stored, created } = await updateObject(
    call.store,
    endpoint,
    info.namespace,
    info.name,
    change,
    writerOf(call, p, info.subresource),
    creates ? () => call.require('create') : undefined,
  )
  return objectAnswer(call, created ? 201 : 200, stored, output)
}
