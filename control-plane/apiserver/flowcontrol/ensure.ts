/**
 * Makes and keeps upstream's objects of flow control, as pkg/registry/flowcontrol/ensurer does: mandatory ones are put back whatever was
 * done to them, suggested ones as long as their annotation says so; and notes in the status of schemas whether their level is there.
 */
import type { FlowSchema } from '#shared/api/flowcontrol/flowschema.ts'
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from '#shared/api/flowcontrol/mandatory.ts'
import { suggestedFlowSchemas, suggestedPriorityLevels } from '#shared/api/flowcontrol/suggested.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { ensure, self } from '../bootstrap/ensure.ts'
import { toStored } from '../objects/body.ts'
import { deleteObject } from '../objects/delete.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store, Writer } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'

const annotation = 'apf.kubernetes.io/autoupdate-spec'
const producer: Writer = { ...self, fieldManager: 'api-priority-and-fairness-config-producer-v1' }
const consumer: Writer = { ...self, fieldManager: 'api-priority-and-fairness-config-consumer-v1', subresource: 'status' }

const kinds = [
  { plural: 'prioritylevelconfigurations', mandatory: mandatoryPriorityLevels, suggested: suggestedPriorityLevels },
  { plural: 'flowschemas', mandatory: mandatoryFlowSchemas, suggested: suggestedFlowSchemas },
] as const

type Endpoints = ReadonlyMap<string, Endpoint>
const endpointOf = (endpoints: Endpoints, plural: string): Endpoint => endpoints.get(`flowcontrol.apiserver.k8s.io/v1/${plural}`)!

/** One round; throws when something could not be written. */
export async function ensureFlowControl(store: Store, endpoints: Endpoints): Promise<void> {
  for (const { plural, mandatory, suggested } of kinds) {
    const endpoint = endpointOf(endpoints, plural)
    await Promise.all([
      ...mandatory.map(wanted => keep(store, endpoint, wanted as KubeObject, true)),
      ...suggested.map(wanted => keep(store, endpoint, wanted as KubeObject, false)),
    ])
    const names = new Set([...mandatory, ...suggested].map(o => o.metadata.name))
    for (const { name, object } of store.registry.list(endpoint.table)) {
      // What another version of the server suggested.
      if (names.has(name) || truth(object.metadata.annotations?.[annotation]) !== true) continue
      await deleteObject(store, endpoint, '', name, {}, producer).catch((e: unknown) => {
        if (!isNotFound(e)) throw e
      })
    }
  }
  await noteDangling(store, endpoints)
}

/** As strconv.ParseBool reads it; undefined for what is no boolean. */
const truth = (text: string | undefined): boolean | undefined =>
  /^(1|t|T|true|TRUE|True)$/.test(text ?? '') ? true : /^(0|f|F|false|FALSE|False)$/.test(text ?? '') ? false : undefined

async function keep(store: Store, endpoint: Endpoint, wanted: KubeObject, mandatory: boolean): Promise<void> {
  const name = wanted.metadata.name!
  const current = store.registry.get(endpoint.table, '', name)?.object
  if (!current) {
    const object = clone(wanted)
    object.metadata.annotations = { [annotation]: 'true' }
    return ensure(store, endpoint, '', object)
  }
  if (!corrected(current, wanted, mandatory)) return
  // Someone else's change may come between: then there may be nothing left to do.
  const change = (now: KubeObject | undefined): KubeObject | Promise<KubeObject> =>
    now ? toStored(endpoint, corrected(now, wanted, mandatory) ?? clone(now)) : clone(wanted)
  await updateObject(store, endpoint, '', name, change, producer)
}

/** The object as it shall be; undefined when it is. */
function corrected(current: KubeObject, wanted: KubeObject, mandatory: boolean): KubeObject | undefined {
  const says = truth(current.metadata.annotations?.[annotation])
  const update = mandatory || (says ?? current.metadata.generation === 1)
  const spec = update ? specOf(current, wanted) : current['spec']
  if (says === update && semanticEqual(spec, current['spec'])) return undefined
  const { resourceVersion: _version, uid: _uid, ...metadata } = clone(current.metadata)
  return {
    ...clone(current),
    metadata: { ...metadata, annotations: { ...metadata.annotations, [annotation]: String(update) } },
    spec: clone(spec as object),
  }
}

/** What the server does not set may be set by anybody: of the level `exempt` shares and lending. */
function specOf(current: KubeObject, wanted: KubeObject): unknown {
  const exempt = (current['spec'] as { exempt?: object } | undefined)?.exempt
  return wanted.metadata.name === 'exempt' && exempt ? { ...(wanted['spec'] as object), exempt } : wanted['spec']
}

async function noteDangling(store: Store, endpoints: Endpoints): Promise<void> {
  const levels = endpointOf(endpoints, 'prioritylevelconfigurations')
  const schemas = endpointOf(endpoints, 'flowschemas')
  const isMissing = ({ spec }: FlowSchema): boolean => !store.registry.get(levels.table, '', spec.priorityLevelConfiguration.name)
  const note = async (name: string, schema: FlowSchema): Promise<void> => {
    if (knownDangling(schema)?.status === statusText(isMissing(schema))) return
    const change = (now: KubeObject | undefined): KubeObject => {
      const next = clone(now!) as unknown as FlowSchema
      const missing = isMissing(next)
      if (knownDangling(next)?.status !== statusText(missing)) setDangling(next, missing)
      const object = next as unknown as KubeObject
      delete object.metadata.resourceVersion
      return object
    }
    await updateObject(store, schemas, '', name, change, consumer).catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
  }
  await Promise.all(store.registry.list(schemas.table).map(({ name, object }) => note(name, object as unknown as FlowSchema)))
}

const statusText = (missing: boolean): string => (missing ? 'True' : 'False')
const knownDangling = ({ status }: FlowSchema) => status?.conditions?.find(c => c.type === 'Dangling')

function setDangling(schema: FlowSchema, missing: boolean): void {
  const level = JSON.stringify(schema.spec.priorityLevelConfiguration.name)
  const dangling = {
    type: 'Dangling',
    status: statusText(missing),
    lastTransitionTime: formatTime(),
    reason: missing ? 'NotFound' : 'Found',
    message: `This FlowSchema references the PriorityLevelConfiguration object named ${level} ${missing ? 'but there is no such object' : 'and it exists'}`,
  }
  schema.status = { conditions: [...(schema.status?.conditions ?? []).filter(c => c.type !== 'Dangling'), dangling] }
}

const roundMs = 60_000
const retryMs = 1_000

/**
 * Makes rounds: `round` asks for one, and there is one a minute. Resolves when the first is done or has failed.
 */
export async function keepFlowControl(store: Store, endpoints: Endpoints): Promise<{ round(): void; stop(): Promise<void> }> {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let asked = false
  let running: Promise<void> | undefined
  const round = (): void => {
    asked = true
    running ??= rounds().finally(() => (running = undefined))
  }
  const rounds = async (): Promise<void> => {
    while (asked && !stopped) {
      asked = false
      clearTimeout(timer)
      const wait = await ensureFlowControl(store, endpoints).then(
        () => roundMs,
        (e: unknown) => {
          store.log.info({ err: (e as Error).message }, 'objects of flow control could not be written; will try again')
          return retryMs
        },
      )
      timer = setTimeout(round, wait).unref()
    }
  }
  round()
  await running
  return {
    round,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
