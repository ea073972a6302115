/** scale: how many replicas an object has, the same form for all kinds that have any. */
import { scale as scaleSchema, type Scale } from '#shared/api/autoscaling/scale.ts'
import { ageColumn, nameColumn } from '#shared/api/columns.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Column } from '#shared/api/resource.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { invalid, Path } from '#shared/machinery/field.ts'
import { applyConfiguration } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration } from '#shared/machinery/patch/configuration.ts'
import { decodePatched } from '#shared/machinery/patch/patched.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { badRequest, internalError, invalidObject } from '#shared/machinery/status.ts'
import { negotiateOutput } from '../chain/mediatype.ts'
import { valueAnswer, type Answer } from '../chain/response.ts'
import type { Stored } from '../registry/registry.ts'
import { readBody } from '../objects/body.ts'
import { AdmissionRequest } from '../admission/admission.ts'
import { targetOfBody, writeOptions } from '../admission/target.ts'
import { hubOfServed, served, servedOfHub } from '../objects/conversion.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Writer } from '../objects/store.ts'
import { writeParameters, type WriteParameters } from '../objects/options.ts'
import { updateObject } from '../objects/update.ts'
import { inVersion } from '../verbs/apply.ts'
import { bodyAnswer, writerOf, writingOf, type Call, type Verb } from '../verbs/context.ts'
import { find } from '../verbs/get.ts'
import { applyPatch, noStrategicMerge, patchKind, strategicOf } from '../verbs/patch.ts'
import { checkNames } from '../verbs/update.ts'
import { includeObjectOf } from '../verbs/views.ts'
import { tableOf } from '../table/table.ts'

const expected = { apiVersion: 'autoscaling/v1', kind: 'Scale', codec: structCodec(scaleSchema) }

type Paths = NonNullable<Endpoint['resource']['scale']>

function scaleOf(paths: Paths, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const replicas = paths.replicas(object)
  const selector = paths.selector(object)
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    // Go leaves a zero out.
    spec: replicas ? { replicas } : {},
    status: { replicas: paths.status(object), ...(selector ? { selector } : {}) },
  }
}

const columns: readonly Column<Scale & KubeObject>[] = [
  nameColumn,
  { name: 'Desired', type: 'integer', doc: 'How many replicas are wanted', cell: s => s.spec?.replicas ?? 0 },
  { name: 'Available', type: 'integer', doc: 'How many replicas there are', cell: s => s.status?.replicas ?? 0 },
  ageColumn,
]

/** Where the request's version has its values. */
const pathsOf = (endpoint: Endpoint): Paths => endpoint.resource.scale!
const nameOf = ({ path = '.spec.replicas' }: Paths): string => JSON.stringify(path)

async function answer(call: Call, stored: Stored): Promise<Answer> {
  const paths = pathsOf(call.endpoint)
  const object = await served(call.endpoint, stored)
  if (paths.replicas(object) === undefined) throw internalError(`the spec replicas field ${nameOf(paths)} does not exist`)
  const scale = scaleOf(paths, object)
  const output = negotiateOutput(call.request.headers['accept'], 'objects')
  if (output.as !== 'Table') return bodyAnswer(call, 200, scale, output)
  const options = { version: output.version, includeObject: includeObjectOf(call.request.query) }
  const table = tableOf(columns, [scale as KubeObject], { resourceVersion: String(stored.version) }, options)
  return valueAnswer(200, table, writingOf(call, output))
}

const getScale = async (call: Call): Promise<Answer> => answer(call, await find(call))

async function updateScale(call: Call): Promise<Answer> {
  const p = writeParameters(call.request.query, 'UpdateOptions')
  const body = readBody<Scale>(call, expected, p.fieldValidation)
  body.metadata ??= {}
  applyDefaults(scaleSchema, body)
  checkNames(body as unknown as KubeObject, call.info.name, call.info.namespace)
  return write(call, p, () => body)
}

async function patchScale(call: Call): Promise<Answer> {
  const kind = patchKind(call.request.headers['content-type'])
  if (kind === 'apply') return applyScale(call)
  if (kind === 'strategic' && call.endpoint.resource.structural) throw noStrategicMerge()
  const p = writeParameters(call.request.query, 'PatchOptions')
  return write(call, p, before => {
    const document = applyPatch(kind, expected.codec, before, call.request.body)
    const { object, warnings } = decodePatched(expected.codec, document, p.fieldValidation, expected, strategicOf(kind, call.request.body))
    call.warnings.push(...warnings)
    const scale = object as unknown as Scale
    applyDefaults(scaleSchema, scale)
    if (scale.metadata.name !== before.metadata.name)
      throw badRequest(`the name of the object (${scale.metadata.name ?? ''}) does not match the name on the URL (${before.metadata.name})`)
    if (scale.metadata.resourceVersion === before.metadata.resourceVersion) delete scale.metadata.resourceVersion
    return scale
  })
}

/** The manager has the replicas of the object itself, as an applier of its subresource `scale` (apimachinery's ScaleHandler). */
async function applyScale(call: Call): Promise<Answer> {
  const p = writeParameters(call.request.query, 'PatchOptions', true)
  const config = decodeConfiguration(expected.codec, call.request.body, expected.kind, expected.apiVersion) as Partial<Scale>
  checkNames({ ...config, metadata: { name: call.info.name, ...config.metadata } } as KubeObject, call.info.name, call.info.namespace)
  const wanted = (before: Scale): Scale => ({ ...before, spec: { replicas: config.spec?.replicas ?? 0 } })
  return write(call, p, wanted, true)
}

/** The object with the replicas that an applier wants; throws 409 when somebody else has them. */
function owned(call: Call, p: WriteParameters, shown: KubeObject, replicas: number): Maybe<KubeObject> {
  const { endpoint, info } = call
  const config = { apiVersion: endpoint.apiVersion, kind: endpoint.kind, metadata: {}, spec: {} } as unknown as KubeObject
  pathsOf(endpoint).set(config, replicas)
  return applyConfiguration({
    codec: endpoint.codec,
    live: shown,
    config,
    manager: p.fieldManager,
    apiVersion: endpoint.apiVersion,
    subresource: info.subresource,
    reset: [],
    force: p.force,
    now: formatTime(),
    in: version => inVersion(endpoint, version),
  })
}

export const scaleVerbs: Readonly<Record<string, Verb>> = { get: getScale, update: updateScale, patch: patchScale }

async function write(call: Call, p: WriteParameters, wanted: (before: Scale) => Scale, applies = false): Promise<Answer> {
  const { endpoint, info } = call
  const paths = pathsOf(endpoint)
  const hubPaths = endpoint.hub.resource.scale ?? paths
  const target = targetOfBody(endpoint, 'autoscaling', 'v1', 'Scale', expected.codec)
  const writer: Writer = {
    ...writerOf(call, p, 'scale'),
    managed: applies,
    admitted: { target, of: object => scaleOf(hubPaths, object) as unknown as KubeObject },
  }
  const change = async (current: KubeObject | undefined): Promise<KubeObject> => {
    const shown = await servedOfHub(endpoint, current!)
    const before = scaleOf(paths, shown)
    const admission = new AdmissionRequest({
      operation: 'UPDATE',
      target,
      subresource: 'scale',
      namespace: info.namespace,
      name: info.name,
      object: wanted(before) as unknown as KubeObject,
      old: before as unknown as KubeObject,
      options: writeOptions('UPDATE', p),
      by: writer,
    })
    const pending = call.store.admission.mutate(admission)
    if (pending) await pending
    const scale = admission.object as unknown as Scale
    if (scale.spec?.replicas === undefined && paths.replicas(shown) === undefined)
      throw badRequest(`the spec replicas field ${nameOf(paths)} cannot be empty`)
    const replicas = scale.spec?.replicas ?? 0
    if (replicas < 0)
      throw invalidObject('autoscaling', 'Scale', info.name, [
        invalid(new Path('spec.replicas'), replicas, 'must be greater than or equal to 0'),
      ])
    const next = applies ? await owned(call, p, shown, replicas) : clone(shown)
    if (scale.metadata?.resourceVersion) next.metadata.resourceVersion = scale.metadata.resourceVersion
    if (scale.metadata?.uid) next.metadata.uid = scale.metadata.uid
    if (!applies) paths.set(next, replicas)
    return hubOfServed(endpoint, next)
  }
  const { stored } = await updateObject(call.store, endpoint, info.namespace, info.name, change, writer)
  return answer(call, stored)
}
