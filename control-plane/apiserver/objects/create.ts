/** Creating an object: system fields, admission, preparation, validation, then a write that expects nothing there. */
import { randomInt, randomUUID } from 'node:crypto'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { validateObjectMeta } from '#shared/api/meta/validation.ts'
import { findErrors } from '#shared/machinery/field.ts'
import { nameIsDNSSubdomain } from '#shared/machinery/names.ts'
import { StatusError, alreadyExists, forbidden, invalidObject } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { WriteConflict, type Stored } from '../registry/registry.ts'
import { AdmissionRequest } from '../admission/admission.ts'
import { targetOf, writeOptions } from '../admission/target.ts'
import { stage } from '../chain/runqueue.ts'
import { pruneForStorage, servedOfHub } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'
import { abandon } from './hooks.ts'
import { recordManager } from './managed.ts'
import { dedupOwnerReferences } from './owners.ts'
import { all, metadataPath, root, unstored, type Store, type Writer } from './store.ts'

// Upstream leaves out vowels and what looks like them, so that no words come about.
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
const maxGenerated = 63 - 5

/** `prefix` and five random characters. */
export function generateName(prefix: string): string {
  let name = prefix.slice(0, maxGenerated)
  for (let i = 0; i < 5; i++) name += alphabet[randomInt(alphabet.length)]
  return name
}

/**
 * A new object's uid. Node's own is a rope of its parts, and JSON.stringify takes a way three times as long for an object that holds one.
 */
export const newUid = (): string => Buffer.from(randomUUID(), 'latin1').toString('latin1')

/** Upstream tries this often to find a name that is free. */
const nameAttempts = 8

/** Creates `given` (stored form, defaulted; it becomes the server's). Throws StatusErrors. */
export async function createObject(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  given: KubeObject,
  writer: Writer,
): Promise<Stored> {
  const { resource, hub } = endpoint
  const { subresource, dryRun } = writer
  if (resource.refusesCreate !== undefined) throw forbidden(endpoint.groupResource, given.metadata.name ?? '', resource.refusesCreate)
  dedupOwnerReferences(given, writer.warnings, false)
  // What admission and the server add belongs to no manager.
  const recorded = writer.managed ? undefined : recordManager(endpoint, undefined, hub.codec.normalize(given), writer)
  await (recorded ?? stage)
  const admission = new AdmissionRequest({
    operation: 'CREATE',
    target: targetOf(endpoint),
    subresource,
    namespace,
    name: given.metadata.name ?? '',
    object: given,
    old: undefined,
    options: writeOptions('CREATE', writer.parameters),
    by: writer,
  })
  const pending = store.admission.mutate(admission)
  await (pending ?? stage)
  const object = admission.object!
  dedupOwnerReferences(object, writer.warnings, true)
  const meta = object.metadata
  meta.creationTimestamp = formatTime()
  meta.uid = newUid()
  delete meta.deletionTimestamp
  delete meta.deletionGracePeriodSeconds
  delete meta.selfLink
  const version = meta.resourceVersion
  delete meta.resourceVersion
  if (resource.hasGeneration) meta.generation = 1
  if (resource.hasStatus && !resource.keepsStatusOnCreate) {
    // Of a custom kind nothing is written that neither somebody nor its schema set.
    if (resource.structural) {
      delete object['status']
      hub.codec.applyDefaults(object)
    } else object['status'] = {}
  }
  const generated = !meta.name && !!meta.generateName
  if (generated) {
    meta.name = generateName(meta.generateName!)
    resource.nameDefaults?.(object)
  }
  resource.prepareForCreate?.(object, writer)
  const claim = await endpoint.hooks?.begin(object, undefined, dryRun)
  try {
    hub.codec.normalize(object)
    const { validate } = endpoint.codec
    const shown = validate && servedOfHub(endpoint, object)
    const served = shown instanceof Promise ? await shown : shown
    await stage
    const errors = findErrors(() =>
      all(
        validateObjectMeta(meta, resource.namespaced, resource.validateName ?? nameIsDNSSubdomain, metadataPath, !resource.structural),
        served && validate!(served),
        resource.validate?.(object, root),
        resource.validateCreate?.(object, root),
      ),
    )
    if (errors.length > 0) throw invalidObject(endpoint.group, endpoint.kind, meta.name ?? '', errors)
    admission.name = meta.name ?? ''
    const judged = store.admission.validate(admission)
    await (judged ?? stage)
    if (resource.warnings) writer.warnings?.push(...resource.warnings(object, undefined))
    pruneForStorage(endpoint, object)
    await stage
    const stored = await insert(store, endpoint, namespace, object, { dryRun, generated, version })
    await claim?.keep()
    return stored
  } catch (e) {
    await abandon(claim, e)
    throw e
  }
}

interface Insertion {
  readonly dryRun: boolean
  /** The name is the server's choice: it takes another when this one is taken. */
  readonly generated: boolean
  /** The version that the client sent, which it must not. */
  readonly version: string | undefined
}

async function insert(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  object: KubeObject,
  { dryRun, generated, version }: Insertion,
): Promise<Stored> {
  const { registry } = store
  const meta = object.metadata
  for (let attempt = 1; ; attempt++) {
    const name = meta.name!
    if (dryRun) {
      await registry.fresh()
      if (registry.get(endpoint.table, namespace, name)) throw alreadyExists(endpoint.groupResource, name)
    }
    // Upstream's store says so, which a dry run does not reach.
    if (version && !dryRun) throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created')
    if (dryRun) return unstored(endpoint, namespace, object, 0)
    try {
      return await registry.put(endpoint.table, namespace, name, object, 0)
    } catch (e) {
      if (!(e instanceof WriteConflict)) throw e
      if (!generated || attempt === nameAttempts) throw alreadyExists(endpoint.groupResource, name)
      meta.name = generateName(meta.generateName!)
      endpoint.resource.nameDefaults?.(object)
    }
  }
}
