/** Server-side apply: a manager's configuration becomes part of the object, which is created when it is not there. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { applyConfiguration, type OtherVersion } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration, identified } from '#shared/machinery/patch/configuration.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Output } from '../chain/mediatype.ts'
import type { Answer } from '../chain/response.ts'
import { toStored } from '../objects/body.ts'
import { converted, servedOfHub } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { resetFields } from '../objects/managed.ts'
import { writeParameters } from '../objects/options.ts'
import { updateObject } from '../objects/update.ts'
import { objectAnswer, writerOf, type Call } from './context.ts'
import { checkNames } from './update.ts'

export async function apply(call: Call, output: Output): Promise<Answer> {
  try {
    return await applied(call, output)
  } catch (e) {
    throw identified(e, call.request.body, call.endpoint.kind, call.endpoint.apiVersion)
  }
}

async function applied(call: Call, output: Output): Promise<Answer> {
  const { endpoint, info, request } = call
  const { codec, resource, apiVersion, definition } = endpoint
  const p = writeParameters(request.query, 'PatchOptions', true)
  const config = decodeConfiguration(codec, request.body, endpoint.kind, apiVersion)
  const change = async (current: KubeObject | undefined): Promise<KubeObject> => {
    const live = current && servedOfHub(endpoint, current)
    const object = await applyConfiguration({
      codec,
      live: live instanceof Promise ? await live : live,
      config,
      manager: p.fieldManager,
      apiVersion,
      subresource: info.subresource,
      reset: resetFields(endpoint, info.subresource),
      force: p.force,
      now: formatTime(),
      // The defaults of another version are its own, then those of the hub form.
      defaults: definition.conversion ? definition.defaults : resource.defaults,
      in: version => inVersion(endpoint, version),
    })
    checkNames(object, info.name, info.namespace)
    return toStored(endpoint, object)
  }
  const writer = { ...writerOf(call, p, info.subresource), managed: true }
  // Who may patch may not create by it.
  const mayCreate = info.subresource === '' ? () => call.require('create') : undefined
  const { stored, created } = await updateObject(call.store, endpoint, info.namespace, info.name, change, writer, mayCreate)
  return objectAnswer(call, created ? 201 : 200, stored, output)
}

/** Another version that managers work in; undefined when it is not served. */
export function inVersion(endpoint: Endpoint, version: string): OtherVersion | undefined {
  const form = endpoint.forms.get(version)
  return (
    form && {
      shape: form.codec.shape,
      from: object => converted(endpoint, object, endpoint.apiVersion, version),
      back: object => converted(endpoint, object, version, endpoint.apiVersion),
    }
  )
}
