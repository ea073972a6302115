/** Changing an object: PUT, PATCH and the subresources that write. */
import type { KubeObject, ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { validateObjectMetaUpdate } from '#shared/api/meta/validation.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { findErrors, invalid, type FieldError } from '#shared/machinery/field.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { conflict, invalidObject, modified, notFound } from '#shared/machinery/status.ts'
import type { Stored } from '../registry/registry.ts'
import { AdmissionRequest } from '../admission/admission.ts'
import { targetOf, writeOptions } from '../admission/target.ts'
import { stage } from '../chain/runqueue.ts'
import { createObject } from './create.ts'
import { pruneForStorage, servedOfHub } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'
import { equal } from './equal.ts'
import { abandon } from './hooks.ts'
import { recordManager } from './managed.ts'
import { keepMeta, keptMeta } from './metadata.ts'
import { dedupOwnerReferences } from './owners.ts'
import { all, guaranteed, metadataPath, root, unstored, type Current, type Store, type Writer } from './store.ts'

export interface Updated {
  readonly stored: Stored
  readonly created: boolean
}

/**
 * What the client wants, given the object as it is (undefined when there is none; never to be changed): a new object in the stored form,
 * defaulted. Called again after a conflict. Its metadata.resourceVersion and uid, when set, are preconditions.
 */
export type Change = (current: KubeObject | undefined) => KubeObject | Promise<KubeObject>

/** `mayCreate`: an object that is not there is made, unless this throws; without it that is 404. */
export async function updateObject(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  name: string,
  change: Change,
  writer: Writer,
  mayCreate?: 'always' | (() => Maybe<void>),
): Promise<Updated> {
  return guaranteed(store, endpoint, namespace, name, async current => {
    if (!current) {
      if (!mayCreate) throw notFound(endpoint.groupResource, name)
      if (mayCreate !== 'always') await mayCreate()
      const object = await change(undefined)
      if (object.metadata.uid)
        throw conflict(
          endpoint.groupResource,
          name,
          `Precondition failed: UID in precondition: ${object.metadata.uid}, UID in object meta: `,
        )
      delete object.metadata.resourceVersion
      return { done: { stored: await createObject(store, endpoint, namespace, object, { ...writer, subresource: '' }), created: true } }
    }
    const next = await change(current.object)
    checkPreconditions(endpoint, name, next, current)
    if (writer.direct) {
      delete next.metadata.resourceVersion
      return write(store, endpoint, namespace, name, next, current, writer)
    }
    const admission = requestOf(endpoint, namespace, name, current.object, writer)
    const prepared = await prepare(store, endpoint, next, current.object, writer, admission)
    const claim = await endpoint.hooks?.begin(prepared, current.object, writer.dryRun)
    try {
      const schema = schemaErrors(endpoint, prepared, current.object, writer)
      validate(endpoint, prepared, current.object, writer, schema instanceof Promise ? await schema : schema)
      const { subresource, admitted } = writer
      admission.object = admitted ? admitted.of(prepared) : prepared
      const judged = store.admission.validate(admission)
      await (judged ?? stage)
      if (subresource === '' && endpoint.resource.warnings) writer.warnings?.push(...endpoint.resource.warnings(prepared, current.object))
      delete prepared.metadata.resourceVersion
      const outcome = await write(store, endpoint, namespace, name, prepared, current, writer)
      await claim?.keep()
      return outcome
    } catch (e) {
      await abandon(claim, e)
      throw e
    }
  })
}

function checkPreconditions(endpoint: Endpoint, name: string, next: KubeObject, { stored, object }: Current): void {
  const { uid, resourceVersion } = next.metadata
  const old = object.metadata
  if (uid && uid !== old.uid)
    throw conflict(endpoint.groupResource, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.uid ?? ''}`)
  if (resourceVersion === undefined || resourceVersion === '' || resourceVersion === '0') {
    if (endpoint.resource.allowUnconditionalUpdate === false) {
      // Upstream names the resource here, not the kind.
      throw invalidObject(endpoint.group, endpoint.plural, name, [
        invalid(metadataPath.child('resourceVersion'), 0, 'must be specified for an update'),
      ])
    }
  } else if (!/^\d+$/.test(resourceVersion)) {
    const why = `strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`
    throw invalidObject(endpoint.group, endpoint.kind, name, [invalid(metadataPath.child('resourceVersion'), resourceVersion, why)])
  } else if (Number(resourceVersion) !== stored.version) throw modified(endpoint.groupResource, name)
}

/** What admission is asked; the object comes when it is made. */
const requestOf = (endpoint: Endpoint, namespace: string, name: string, old: KubeObject, writer: Writer): AdmissionRequest =>
  new AdmissionRequest({
    operation: 'UPDATE',
    target: writer.admitted?.target ?? targetOf(endpoint),
    subresource: writer.subresource,
    namespace,
    name,
    object: undefined,
    old: writer.admitted ? writer.admitted.of(old) : old,
    options: writeOptions('UPDATE', writer.parameters),
    by: writer,
  })

/** Admission, then what the server decides: identity, status or spec kept, generation, managedFields. Returns the object to validate. */
async function prepare(
  store: Store,
  endpoint: Endpoint,
  wanted: KubeObject,
  old: KubeObject,
  writer: Writer,
  admission: AdmissionRequest,
): Promise<KubeObject> {
  const { resource, hub } = endpoint
  const { subresource } = writer
  let next = kept(resource, subresource, wanted, old)
  // What admission and the server change belongs to no manager.
  const recorded = writer.managed ? undefined : recordManager(endpoint, old, hub.codec.normalize(next), writer)
  await (recorded ?? stage)
  if (!writer.admitted) {
    admission.object = next
    const pending = store.admission.mutate(admission)
    await (pending ?? stage)
    // What came back from elsewhere may have changed what the request may not.
    if (admission.object !== next) next = kept(resource, subresource, admission.object, old)
    dedupOwnerReferences(next, writer.warnings, true)
  }
  resource.prepareForUpdate?.(next, old, writer)
  hub.codec.normalize(next)
  if (resource.hasGeneration && specChanged(next, old, resource.hasStatus === true))
    next.metadata.generation = (old.metadata.generation ?? 0) + 1
  return next
}

/** `wanted` with what a write through a subresource, or one that is through none, leaves as it was. May change it. */
function kept(resource: Resource, subresource: string, wanted: KubeObject, old: KubeObject): KubeObject {
  let next = wanted
  if (subresource === 'status') {
    const { kind, apiVersion, metadata: _metadata, status: _status, ...rest } = old
    next = { kind, apiVersion, metadata: statusMeta(resource, wanted, old), ...clone(rest), status: wanted['status'] }
  } else if (resource.hasStatus && (subresource === '' || subresource === 'finalize')) {
    if (old['status'] === undefined) delete next['status']
    else next['status'] = clone(old['status'])
  }
  keepMeta(next.metadata, old.metadata)
  return next
}

/** The metadata that a write to `status` makes. */
function statusMeta(resource: Resource, { metadata: wanted }: KubeObject, { metadata: old }: KubeObject): ObjectMeta {
  if (resource.structural || resource.statusKeeps === 'metadata') return keptMeta(wanted, old)
  if (resource.statusKeeps !== 'labels') return wanted
  const { labels: _, ...metadata } = wanted
  return old.labels ? { ...metadata, labels: clone(old.labels) } : metadata
}

/** Without a status subresource status is as the rest. */
function specChanged(next: KubeObject, old: KubeObject, hasStatus: boolean): boolean {
  for (const field of new Set([...Object.keys(next), ...Object.keys(old)])) {
    if (field === 'metadata' || (field === 'status' && hasStatus) || field === 'kind' || field === 'apiVersion') continue
    if (!equal(next[field], old[field])) return true
  }
  return false
}

/** What the schema of the request's version forbids. */
function schemaErrors(endpoint: Endpoint, next: KubeObject, old: KubeObject, { subresource, warnings }: Writer): Maybe<FieldError[]> {
  const { validate } = endpoint.codec
  if (!validate) return []
  const part = subresource === 'status' ? 'status' : undefined
  const warn = (text: string): void => void (warnings?.includes(text) || warnings?.push(text))
  return after(servedOfHub(endpoint, next), now =>
    after(servedOfHub(endpoint, old), before => findErrors(() => validate(now, { old: before, part, warn }))),
  )
}

function validate(endpoint: Endpoint, next: KubeObject, old: KubeObject, writer: Writer, schema: FieldError[]): void {
  const { resource } = endpoint
  const errors = findErrors(() =>
    all(
      // The name was checked when the object was made; that it stays is a rule of updates.
      validateObjectMetaUpdate(next.metadata, old.metadata, metadataPath, !resource.structural),
      schema,
      // What a status write leaves alone was valid when it was written.
      writer.subresource === 'status' ? undefined : resource.validate?.(next, root),
      resource.validateUpdate?.(next, old, root, writer),
    ),
  )
  if (errors.length > 0) throw invalidObject(endpoint.group, endpoint.kind, next.metadata.name ?? '', errors)
}

/** Whether the last thing that kept an object was taken away by this update. */
function isDone({ resource }: Endpoint, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0 || (deletionGracePeriodSeconds ?? 0) !== 0) return false
  return resource.deletion?.steps?.pending(object) !== true
}

type Outcome = { done: Updated; same?: boolean }
async function write(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  name: string,
  next: KubeObject,
  { stored: current, object: old }: Current,
  writer: Writer,
): Promise<Outcome> {
  endpoint.hub.codec.normalize(next)
  pruneForStorage(endpoint, next)
  const done = (stored: Stored): { done: Updated } => ({ done: { stored, created: false } })
  if (isDone(endpoint, next)) {
    if (writer.dryRun) return done(unstored(endpoint, namespace, next, current.version))
    const removed = await store.registry.remove(endpoint.table, namespace, name, current.version)
    endpoint.hooks?.afterDelete(next)
    return done(unstored(endpoint, namespace, next, removed.version))
  }
  const { resourceVersion: _version, ...oldMeta } = old.metadata
  // What is stored in another version is written anew, as upstream migrates it.
  if (old === current.object && equal(next, { ...old, metadata: oldMeta }) && !store.registry.isStale(endpoint.table, namespace, name))
    return { ...done(current), same: true }
  if (writer.dryRun) return done(unstored(endpoint, namespace, next, current.version))
  return done(await store.registry.put(endpoint.table, namespace, name, next, current.version))
}
