/** What the verbs work with. */
import type { RequestContext } from '../chain/chain.ts'
import { negotiateOutput, type Output } from '../chain/mediatype.ts'
import { jsonAnswer, valueAnswer, type Answer } from '../chain/response.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { enveloped } from '#shared/machinery/protobuf-encode.ts'
import { protobufType } from '../chain/protobuf.ts'
import { managerName } from '#shared/machinery/managedfields/manager.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import type { Stored } from '../registry/registry.ts'
import { served, servedJson } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { WriteParameters } from '../objects/options.ts'
import type { Store, Writer } from '../objects/store.ts'
import { partialMetadata } from '../table/partial.ts'
import { objectAs } from './views.ts'

/** A request for objects of one endpoint. */
export interface Call extends RequestContext {
  readonly store: Store
  readonly endpoint: Endpoint
}

/** What answers a request for objects of one endpoint. */
export type Verb = (call: Call) => Promise<Answer>

const prettyAgents = /^(curl|Wget|Mozilla\/5\.0)/

/** Whether JSON is written for people: asked for, or the client is a browser or curl. */
export function wantsPretty(call: RequestContext): boolean {
  const asked = call.request.query.get('pretty')
  if (asked !== null) return asked !== 'false' && asked !== '0' && asked !== ''
  const agent = call.request.headers['user-agent']
  return agent !== undefined && prettyAgents.test(agent)
}

export const writingOf = (call: RequestContext, output: Output) => ({ format: output.format, pretty: wantsPretty(call) })

/** What is answered with and not stored, a review or a scale, in the form that the client accepts. */
export const bodyAnswer = (call: RequestContext, code: number, body: object, output: Output): Answer =>
  valueAnswer(
    code,
    output.as === 'PartialObjectMetadata' ? partialMetadata(body as KubeObject, output.version) : body,
    writingOf(call, output),
  )

/** One object in the form that the client accepts. */
export function objectAnswer(call: Call, code: number, stored: Stored, output: Output): Maybe<Answer> {
  const writing = writingOf(call, output)
  const { endpoint } = call
  if (output.as !== '') return after(objectAs(endpoint, stored, output, call.request.query), object => valueAnswer(code, object, writing))
  if (writing.format === 'protobuf') return after(served(endpoint, stored), object => protobufAnswer(endpoint, code, object))
  return after(servedJson(endpoint, stored), json => jsonAnswer(code, json, writing))
}

const protobufAnswer = ({ apiVersion, kind, codec }: Endpoint, code: number, object: KubeObject): Answer => ({
  code,
  headers: { 'content-type': protobufType },
  body: enveloped(apiVersion, kind, codec.protobuf!.encode(object)),
})

/** The form of answers with a review or what else has no columns. Throws 406. */
export const outputOf = (call: RequestContext): Output => negotiateOutput(call.request.headers['accept'], 'reviews')
/** The form of answers with objects of the endpoint. Throws 406. */
export const outputOfObjects = (call: Call): Output =>
  negotiateOutput(call.request.headers['accept'], call.endpoint.codec.protobuf ? 'objects' : 'custom')

/** The name under which a write goes into managedFields: as given, by the client's program, or by its identity. */
function managerOf(call: RequestContext, p: WriteParameters): string {
  const name = managerName(p.fieldManager, call.request.headers['user-agent'])
  if (name !== '' && name !== 'unknown') return name
  return call.user.name.startsWith('system:node:') ? 'kubelet' : (call.user.name.split(':').at(-1) ?? '')
}

export const writerOf = (call: RequestContext, p: WriteParameters, subresource = ''): Writer => ({
  user: call.user,
  dryRun: p.dryRun,
  fieldManager: managerOf(call, p),
  parameters: p,
  warnings: call.warnings,
  annotations: call.annotations,
  subresource,
})
