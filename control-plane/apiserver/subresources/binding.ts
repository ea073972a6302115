/** binding: the scheduler gives a pod its node. Also as POST to `bindings` of the namespace. */
import { binding as bindingSchema, type Binding } from '#shared/api/core/binding.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { notSupported, Path, required, type FieldError } from '#shared/machinery/field.ts'
import { badRequest, conflict, invalidObject } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, valueAnswer, type Answer } from '../chain/response.ts'
import { admit } from '../admission/admission.ts'
import { targetOfBody, targetOfKind, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { writeParameters } from '../objects/options.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import { outputOf, writerOf, writingOf, type Call } from '../verbs/context.ts'
import { alignNamespace } from '../verbs/create.ts'

/** As discovery shows it. */
export const bindings: Resource = {
  group: '',
  version: 'v1',
  kind: 'Binding',
  plural: 'bindings',
  singular: 'binding',
  namespaced: true,
  schema: bindingSchema,
  verbs: ['create'],
}
const expected = { apiVersion: 'v1', kind: 'Binding', codec: structCodec(bindingSchema) }
const resource = { group: '', resource: 'pods/binding' }

/** POST to `pods/NAME/binding`. */
export const bind = (call: Call): Promise<Answer> => bindNamed(call, call.store, call.endpoint, call.info.name)

/** POST to `bindings`. */
export async function bindByBody(ctx: RequestContext, store: Store, pods: Endpoint): Promise<Answer> {
  if (ctx.info.verb !== 'create' || ctx.info.name !== '' || ctx.info.namespace === '') throw noSuchMethod()
  return bindNamed(ctx, store, pods, undefined)
}

async function bindNamed(ctx: RequestContext, store: Store, pods: Endpoint, given: string | undefined): Promise<Answer> {
  const output = outputOf(ctx)
  const p = writeParameters(ctx.request.query, 'CreateOptions')
  const sent = readBody<Binding>(ctx, expected, p.fieldValidation)
  sent.metadata ??= {}
  applyDefaults(bindingSchema, sent)
  alignNamespace(sent as unknown as KubeObject, ctx.info.namespace)
  const name = given ?? sent.metadata.name ?? ''
  const writer = writerOf(ctx, p, 'binding')
  const body = await admit<Binding>(store.admission, {
    operation: 'CREATE',
    target: given === undefined ? targetOfKind(bindings) : targetOfBody(pods, '', 'v1', 'Binding', expected.codec),
    subresource: given === undefined ? '' : 'binding',
    namespace: ctx.info.namespace,
    name,
    object: sent as unknown as KubeObject,
    old: undefined,
    options: writeOptions('CREATE', p),
    by: writer,
  })
  if (given !== undefined && body.metadata.name !== given) throw badRequest('name in URL does not match name in Binding object')
  body.metadata.labels = { ...topologyLabels(store, body.target.name), ...body.metadata.labels }
  const errors = validate(body)
  if (errors.length > 0) throw invalidObject('', 'Binding', name, errors)
  await updateObject(store, pods, ctx.info.namespace, name, current => assign(current as Pod, body, name), {
    ...writer,
    direct: true,
  })
  return valueAnswer(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }, writingOf(ctx, output))
}

/** Where the node is, which its pods may want to know by the downward API (plugin/pkg/admission/podtopologylabels). */
function topologyLabels({ registry }: Store, node = ''): Record<string, string> {
  const labels = (registry.get({ group: '', plural: 'nodes' }, '', node)?.object as KubeObject | undefined)?.metadata.labels ?? {}
  return Object.fromEntries(topologyKeys.flatMap(key => (labels[key] === undefined ? [] : [[key, labels[key]]])))
}
const topologyKeys = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region']

function validate(body: Binding): FieldError[] {
  const target = new Path('target')
  const errors: FieldError[] = []
  if (body.target.kind && body.target.kind !== 'Node')
    errors.push(notSupported(target.child('kind'), body.target.kind, ['Node', '<empty>']))
  if (!body.target.name) errors.push(required(target.child('name')))
  return errors
}

function assign(current: Pod, body: Binding, name: string): KubeObject {
  const pod = clone(current)
  delete pod.metadata.resourceVersion
  const { uid, resourceVersion } = body.metadata
  if (uid && uid !== pod.metadata.uid)
    throw conflict(resource, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`)
  // A precondition, as in any update.
  if (resourceVersion) pod.metadata.resourceVersion = resourceVersion
  if (pod.metadata.deletionTimestamp) throw conflict(resource, name, `pod ${name} is being deleted, cannot be assigned to a host`)
  if (pod.spec.nodeName) throw conflict(resource, name, `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`)
  if (pod.spec.schedulingGates?.length) throw conflict(resource, name, `pod ${name} has non-empty .spec.schedulingGates`)
  pod.spec.nodeName = body.target.name!
  if (body.metadata.annotations) pod.metadata.annotations = { ...pod.metadata.annotations, ...body.metadata.annotations }
  if (body.metadata.labels) pod.metadata.labels = { ...pod.metadata.labels, ...body.metadata.labels }
  setScheduled(pod)
  return pod as unknown as KubeObject
}

function setScheduled(pod: Pod): void {
  pod.status ??= {}
  const before = pod.status.conditions?.find(c => c.type === 'PodScheduled')
  const since = before?.status === 'True' ? before.lastTransitionTime : undefined
  const condition = { type: 'PodScheduled', status: 'True', lastTransitionTime: since ?? formatTime() }
  // Room is made for pods that have no node yet.
  delete pod.status.nominatedNodeName
  pod.status.conditions = [...(pod.status.conditions ?? []).filter(c => c.type !== 'PodScheduled'), condition]
}
