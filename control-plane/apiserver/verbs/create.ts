/** create: POST to a collection. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { stage } from '../chain/runqueue.ts'
import { readBody, toStored } from '../objects/body.ts'
import { createObject } from '../objects/create.ts'
import { writeParameters } from '../objects/options.ts'
import { objectAnswer, outputOfObjects, writerOf, type Call } from './context.ts'

/** An object without a namespace gets that of the path; another one is a mistake. */
export function alignNamespace(object: KubeObject, namespace: string): void {
  const { metadata } = object
  if (namespace === '') delete metadata.namespace
  else if (!metadata.namespace) metadata.namespace = namespace
  else if (metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
}

export async function create(call: Call): Promise<Answer> {
  const { endpoint, info, request } = call
  const output = outputOfObjects(call)
  const p = writeParameters(request.query, 'CreateOptions')
  await stage
  const body = readBody(call, endpoint, p.fieldValidation)
  body.metadata ??= {}
  alignNamespace(body, info.namespace)
  const stored = await createObject(call.store, endpoint, info.namespace, await toStored(endpoint, body), writerOf(call, p))
  return objectAnswer(call, 201, stored, output)
}
