/** Server-side apply: a manager's configuration becomes part of the object, which is created when it is not there. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { applyConfiguration } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration } from '#shared/machinery/patch/configuration.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Output } from '../chain/mediatype.ts'
import type { Answer } from '../chain/response.ts'
import { toStored } from '../objects/body.ts'
import { resetFields } from '../objects/managed.ts'
import { writeParameters } from '../objects/options.ts'
import { updateObject } from '../objects/update.ts'
import { objectAnswer, writerOf, type Call } from './context.ts'
import { checkNames } from './update.ts'

export async function apply(call: Call, output: Output): Promise<Answer> {
  const { endpoint, info, request } = call
  const { alternate, resource, schema, apiVersion } = endpoint
  const p = writeParameters(request.query, 'PatchOptions', true)
  const config = decodeConfiguration(schema, request.body, endpoint.kind, apiVersion)
  const change = (current: KubeObject | undefined): KubeObject => {
    const live = current && alternate ? alternate.fromStored(current as never) : current
    const object = applyConfiguration({
      schema,
      live,
      config,
      manager: p.fieldManager,
      apiVersion,
      subresource: info.subresource,
      reset: resetFields(endpoint, info.subresource),
      force: p.force,
      now: formatTime(),
      // The defaults of another version are those of the stored form.
      ...(resource.defaults && !alternate ? { defaults: resource.defaults } : {}),
    })
    checkNames(object, info.name, info.namespace)
    return toStored(endpoint, object)
  }
  const writer = { ...writerOf(call, p, info.subresource), managed: true }
  const { stored, created } = await updateObject(call.store, endpoint, info.namespace, info.name, change, writer, info.subresource === '')
  return objectAnswer(call, created ? 201 : 200, stored, output)
}
