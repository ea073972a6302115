/** delete and deletecollection. */
import { deleteOptions, type DeleteOptions } from '#shared/api/meta/options.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { DecodeError, decode } from '#shared/machinery/decode.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { inputFormat } from '../chain/mediatype.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import type { Stored } from '../registry/registry.ts'
import { fromProtobuf } from '../objects/body.ts'
import { answersWithObject, deleteObject, deletedStatus, isGone } from '../objects/delete.ts'
import { deleteOptionsOf, listParameters, validateDeleteOptions } from '../objects/options.ts'
import { selectionOf } from '../objects/selection.ts'
import { objectAnswer, outputOfObjects, writerOf, writingOf, type Call } from './context.ts'
import { listPart, plainList } from './list.ts'
import { protobufList } from './protobuf.ts'
import { listAs } from './views.ts'

const expected = { apiVersion: 'v1', kind: 'DeleteOptions', codec: structCodec(deleteOptions) }

/** Options from the body, or without one from the query. Throws 400, 415, 422. */
export function readDeleteOptions(call: Pick<Call, 'request' | 'audit'>): DeleteOptions {
  const { body, headers, query } = call.request
  let options: DeleteOptions
  if (body.length === 0) options = deleteOptionsOf(query)
  else {
    try {
      const format = inputFormat(headers['content-type'])
      const text =
        format === 'yaml' ? yamlToJson(Buffer.from(body).toString()).json : format === 'protobuf' ? fromProtobuf(expected, body) : body
      options = decode(deleteOptions, text).object
      call.audit?.requestObject(options)
    } catch (e) {
      if (e instanceof DecodeError) throw badRequest(`unable to decode DeleteOptions: ${e.message}`)
      throw e
    }
    if (options.kind && options.kind !== 'DeleteOptions') throw badRequest('decoded object cannot be converted to DeleteOptions')
    // The query is read too by old clients' habit: a dry run asked for there must not delete.
    if (query.has('dryRun') && !options.dryRun) options.dryRun = query.getAll('dryRun').filter(v => v !== '')
  }
  validateDeleteOptions(options)
  return options
}

const plain = { fieldManager: '', fieldValidation: 'Warn', force: false } as const

export async function remove(call: Call): Promise<Answer> {
  const { endpoint, info } = call
  const output = outputOfObjects(call)
  const options = readDeleteOptions(call)
  const writer = writerOf(call, { ...plain, dryRun: (options.dryRun?.length ?? 0) > 0 })
  const deleted = await deleteObject(call.store, endpoint, info.namespace, info.name, options, writer)
  const waits = !deleted.gone && (options.orphanDependents === false || options.propagationPolicy === 'Foreground')
  if (answersWithObject(endpoint, deleted)) return objectAnswer(call, waits ? 202 : 200, deleted.stored, output)
  return valueAnswer(200, deletedStatus(endpoint, deleted), writingOf(call, output))
}

const workers = 16

export async function removeCollection(call: Call): Promise<Answer> {
  const { endpoint, info, store } = call
  const output = outputOfObjects(call)
  const options = readDeleteOptions(call)
  const query = new URLSearchParams(call.request.query)
  query.delete('dryRun')
  const p = listParameters(query, false)
  const { items, meta } = await listPart(
    store.registry,
    endpoint,
    info.namespace,
    p,
    selectionOf(endpoint, p.labelSelector, p.fieldSelector),
  )
  const writer = writerOf(call, { ...plain, dryRun: (options.dryRun?.length ?? 0) > 0 })
  const removed: Stored[] = []
  const queue = items.values()
  const work = async (): Promise<void> => {
    for (const item of queue) {
      try {
        await deleteObject(store, endpoint, item.namespace, item.name, options, writer)
        removed.push(item)
      } catch (e) {
        if (!isGone(e)) throw e
      }
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  if (output.as !== '') return valueAnswer(200, await listAs(endpoint, removed, meta, output, query), writingOf(call, output))
  if (output.format === 'protobuf') return protobufList(endpoint, removed, meta)
  return valueAnswer(200, await plainList(endpoint, removed, meta), writingOf(call, output))
}
