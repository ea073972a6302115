/** eviction: a deletion that disruption budgets may hold back (pkg/registry/core/pod/storage/eviction.go). */
import type { Pod } from '#shared/api/core/pod.ts'
import { eviction as evictionSchema, type Eviction } from '#shared/api/policy/eviction.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { DeleteOptions } from '#shared/api/meta/options.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { badRequest, conflict, isConflict } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import { admit } from '../admission/admission.ts'
import { targetOfBody, writeOptions } from '../admission/target.ts'
import { readBody } from '../objects/body.ts'
import { deleteObject } from '../objects/delete.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import { validateDeleteOptions, writeParameters } from '../objects/options.ts'
import type { Writer } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import { outputOf, writerOf, writingOf, type Call } from '../verbs/context.ts'
import { find } from '../verbs/get.ts'
import { alignNamespace } from '../verbs/create.ts'
import { ignoresBudgets, stillProcessed, takeDisruption } from './disruption.ts'

const codec = structCodec(evictionSchema)

/** An eviction that meets other writes of its pod is tried this often. */
const maxAttempts = 20

/** POST to `pods/NAME/eviction`. `budgets` is the endpoint of PodDisruptionBudgets. */
export async function evict(call: Call, budgets: Endpoint): Promise<Answer> {
  const { info, request } = call
  const output = outputOf(call)
  const p = writeParameters(request.query, 'CreateOptions')
  const sent = readBody<Eviction>(call, { apiVersion: bodyVersion(request.body), kind: 'Eviction', codec }, p.fieldValidation)
  sent.metadata ??= {}
  alignNamespace(sent as unknown as KubeObject, info.namespace)
  const dryRun = p.dryRun || (sent.deleteOptions?.dryRun?.length ?? 0) > 0
  const writer = writerOf(call, { ...p, dryRun }, 'eviction')
  const body = await admit<Eviction>(call.store.admission, {
    operation: 'CREATE',
    target: targetOfBody(call.endpoint, 'policy', 'v1', 'Eviction', codec),
    subresource: 'eviction',
    namespace: info.namespace,
    name: info.name,
    object: sent as unknown as KubeObject,
    old: undefined,
    options: writeOptions('CREATE', p),
    by: writer,
  })
  if (body.metadata?.name !== info.name) throw badRequest('name in URL does not match name in Eviction object')
  const options = body.deleteOptions ?? {}
  validateDeleteOptions(options)
  await evictPod(call, budgets, options, { ...writer, direct: true })
  return valueAnswer(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }, writingOf(call, output))
}

async function evictPod(call: Call, budgets: Endpoint, options: DeleteOptions, writer: Writer): Promise<void> {
  const asked = options.preconditions?.resourceVersion !== undefined
  for (let attempt = 1; ; attempt++) {
    const pod = (await find(call)).object as Pod
    const unchanged: DeleteOptions = {
      ...options,
      preconditions: { ...options.preconditions, resourceVersion: options.preconditions?.resourceVersion ?? pod.metadata.resourceVersion },
    }
    if (ignoresBudgets(pod)) {
      // One that is pending must not have become ready meanwhile.
      const mayRun = pod.metadata.deletionTimestamp === undefined && pod.status?.phase === 'Pending'
      try {
        return await markAndDelete(call, mayRun ? unchanged : options, writer)
      } catch (e) {
        if (asked || !isConflict(e) || attempt === maxAttempts) throw e
        continue
      }
    }
    const { budget, unready } = await takeDisruption(call.store, budgets, pod, writer.dryRun)
    try {
      return await markAndDelete(call, unready ? unchanged : options, writer)
    } catch (e) {
      throw unready && !asked && isConflict(e) ? stillProcessed(budget) : e
    }
  }
}

/** The pod says why it goes: whoever counts failures of a Job, for one, looks at that. */
async function markAndDelete(call: Call, options: DeleteOptions, writer: Writer): Promise<void> {
  const { store, endpoint, info } = call
  let exact = options
  if (!writer.dryRun) {
    const change = (current: KubeObject | undefined): KubeObject => marked(current as Pod, options)
    const { stored } = await updateObject(store, endpoint, info.namespace, info.name, change, { ...writer, subresource: 'status' })
    if (options.preconditions?.resourceVersion !== undefined)
      exact = { ...options, preconditions: { ...options.preconditions, resourceVersion: String(stored.version) } }
  }
  await deleteObject(store, endpoint, info.namespace, info.name, exact, writer)
}

function marked(current: Pod, { preconditions: p }: DeleteOptions): KubeObject {
  const about = { group: '', resource: 'Pod' }
  const { name = '', uid, resourceVersion } = current.metadata
  if (p?.uid && p.uid !== uid) {
    const why = `the UID in the precondition (${p.uid}) does not match the UID in record (${uid})`
    throw conflict(about, name, `${why}. The object might have been deleted and then recreated`)
  }
  if (p?.resourceVersion && p.resourceVersion !== resourceVersion) {
    const why = `the ResourceVersion in the precondition (${p.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion})`
    throw conflict(about, name, `${why}. The object might have been modified`)
  }
  const pod = clone(current)
  delete pod.metadata.resourceVersion
  pod.status ??= {}
  const conditions = pod.status.conditions ?? []
  const before = conditions.find(c => c.type === 'DisruptionTarget')
  const condition = {
    type: 'DisruptionTarget',
    ...(pod.metadata.generation ? { observedGeneration: pod.metadata.generation } : {}),
    status: 'True',
    lastTransitionTime: before?.status === 'True' ? before.lastTransitionTime : formatTime(),
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
  }
  pod.status.conditions = before ? conditions.map(c => (c === before ? condition : c)) : [...conditions, condition]
  return pod as unknown as KubeObject
}

/** Old clients still send the beta version, which upstream takes too. */
const bodyVersion = (body: Uint8Array): string =>
  Buffer.from(body.buffer, body.byteOffset, body.length).includes('policy/v1beta1') ? 'policy/v1beta1' : 'policy/v1'
