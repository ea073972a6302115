/** eviction: a deletion that disruption budgets may hold back. Without budgets it is a deletion. */
import { eviction as evictionSchema, type Eviction } from '#shared/api/policy/eviction.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import { admit } from '../admission/admission.ts'
import { targetOfBody, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import { deleteObject } from '../objects/delete.ts'
import { validateDeleteOptions, writeParameters } from '../objects/options.ts'
import { outputOf, writerOf, writingOf, type Call } from '../verbs/context.ts'
import { alignNamespace } from '../verbs/create.ts'

const codec = structCodec(evictionSchema)

export async function evict(call: Call): Promise<Answer> {
  const { info, request } = call
  const output = outputOf(call)
  const p = writeParameters(request.query, 'CreateOptions')
  const sent = readBody<Eviction>(call, { apiVersion: bodyVersion(request.body), kind: 'Eviction', codec }, p.fieldValidation)
  sent.metadata ??= {}
  alignNamespace(sent as unknown as KubeObject, info.namespace)
  if (sent.metadata.name !== undefined && sent.metadata.name !== info.name)
    throw badRequest('name in URL does not match name in Eviction object')
  const dryRun = p.dryRun || (sent.deleteOptions?.dryRun?.length ?? 0) > 0
  const writer = writerOf(call, { ...p, dryRun }, 'eviction')
  const body = await admit<Eviction>(call.store.admission, {
    operation: 'CREATE',
    target: targetOfBody(call.endpoint, 'policy', 'v1', 'Eviction'),
    subresource: 'eviction',
    namespace: info.namespace,
    name: info.name,
    object: sent as unknown as KubeObject,
    old: undefined,
    options: writeOptions('CREATE', p),
    by: writer,
  })
  const options = body.deleteOptions ?? {}
  validateDeleteOptions(options)
  await deleteObject(call.store, call.endpoint, info.namespace, info.name, options, { ...writer, direct: true })
  return valueAnswer(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }, writingOf(call, output))
}

/** Old clients still send the beta version, which upstream takes too. */
const bodyVersion = (body: Uint8Array): string =>
  Buffer.from(body.buffer, body.byteOffset, body.length).includes('policy/v1beta1') ? 'policy/v1beta1' : 'policy/v1'
