/**
 * Objects in the versions of their kind, by way of the hub form. Nothing waits for kinds of one version, nor where this process converts;
 * many objects are converted at once.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { after, inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { internalError } from '#shared/machinery/status.ts'
import type { Stored } from '../registry/registry.ts'
import type { Endpoint, Form } from './endpoint.ts'
import { equal } from './equal.ts'

type Objects = readonly KubeObject[]

function formOf(endpoint: Endpoint, version: string): Form {
  const form = endpoint.forms.get(version)
  if (!form) throw internalError(`${endpoint.kind} is not served in version ${JSON.stringify(version)}`)
  return form
}

/** Objects of one version in the hub form. */
const toHub = (form: Form, objects: Objects): Maybe<Objects> => form.definition.conversion?.toHub(objects) ?? objects
const fromHub = (form: Form, objects: Objects): Maybe<Objects> => form.definition.conversion?.fromHub(objects) ?? objects

/** An object of this version in the hub form. */
export const hubOfServed = (endpoint: Endpoint, object: KubeObject): Maybe<KubeObject> =>
  endpoint.definition.conversion ? after(toHub(endpoint, [object]), ([hub]) => hub!) : object

/** An object in the hub form as this version shows it. */
export const servedOfHub = (endpoint: Endpoint, object: KubeObject): Maybe<KubeObject> =>
  endpoint.definition.conversion ? after(fromHub(endpoint, [object]), ([served]) => served!) : object

/** An object of one served version in another. */
export function converted(endpoint: Endpoint, object: KubeObject, from: string, to: string): Maybe<KubeObject> {
  if (from === to) return object
  return after(
    after(toHub(formOf(endpoint, from), [object]), hub => fromHub(formOf(endpoint, to), hub)),
    ([out]) => out!,
  )
}

/** What another version knows and the stored one does not is looked at before it is lost. Changes the object, which is in the hub form. */
export function pruneForStorage(endpoint: Endpoint, object: KubeObject): void {
  if (endpoint.definition.conversion) endpoint.hub.codec.prune?.(object)
}

/** Whether an object was stored under the schema that its kind has now. */
const isCurrent = ({ resource }: Endpoint, stored: Stored): boolean => stored.version >= (resource.schemaSince ?? 0)

/** An object as the schema of its own version has it now. Must not be changed. */
function storedObject(endpoint: Endpoint, stored: Stored): KubeObject {
  const { object } = stored
  if (isCurrent(endpoint, stored)) return object
  const { codec } = formOf(endpoint, object.apiVersion ?? '')
  const copy = clone(object)
  codec.prune?.(copy)
  codec.applyDefaults(copy)
  return equal(copy, object) ? object : copy
}

/** Stored objects in the hub form: those of another stored version are converted. Must not be changed. */
export function hubOfAll(endpoint: Endpoint, stored: readonly Stored[]): Maybe<Objects> {
  if (endpoint.sole) return stored.map(s => s.object)
  const objects = stored.map(s => storedObject(endpoint, s))
  const old = new Map<string, number[]>()
  objects.forEach(({ apiVersion = '' }, i) => {
    if (apiVersion === endpoint.hub.apiVersion) return
    const at = old.get(apiVersion)
    if (at) at.push(i)
    else old.set(apiVersion, [i])
  })
  const convert = ([version, places]: [string, number[]]): Maybe<void> => {
    const these = places.map(i => objects[i]!)
    return after(toHub(formOf(endpoint, version), these), hubs =>
      hubs.forEach((hub, n) => {
        objects[places[n]!] = hub
        endpoint.hub.codec.prune?.(hub)
      }),
    )
  }
  return after(inTurn(old, convert), () => objects)
}

/** A stored object in the hub form; must not be changed. */
export const hubOf = (endpoint: Endpoint, stored: Stored): Maybe<KubeObject> =>
  endpoint.sole || (stored.object.apiVersion === endpoint.hub.apiVersion && isCurrent(endpoint, stored))
    ? stored.object
    : after(hubOfAll(endpoint, [stored]), ([object]) => object!)

/** Objects as this endpoint shows them; must not be changed. */
export const servedAll = (endpoint: Endpoint, stored: readonly Stored[]): Maybe<Objects> =>
  endpoint.sole ? stored.map(s => s.object) : after(hubOfAll(endpoint, stored), hubs => fromHub(endpoint, hubs))

export const served = (endpoint: Endpoint, stored: Stored): Maybe<KubeObject> =>
  endpoint.sole ? stored.object : after(servedAll(endpoint, [stored]), ([object]) => object!)

// Converted once for all who watch or list.
const conversions = new WeakMap<Endpoint, WeakMap<Stored, Buffer>>()

/** The same as JSON: the stored bytes where the object is stored in this version. */
export function servedJsonAll(endpoint: Endpoint, stored: readonly Stored[]): Maybe<readonly Buffer[]> {
  if (endpoint.sole) return stored.map(s => s.json)
  let known = conversions.get(endpoint)
  if (!known) conversions.set(endpoint, (known = new WeakMap()))
  const cache = known
  const { head } = endpoint
  const same = (s: Stored): boolean => isCurrent(endpoint, s) && head.compare(s.json, 0, head.length) === 0
  const out = stored.map(s => (same(s) ? s.json : cache.get(s)))
  const missing = stored.filter((_, i) => out[i] === undefined)
  if (missing.length === 0) return out as Buffer[]
  return after(servedAll(endpoint, missing), objects => {
    objects.forEach((object, i) => {
      const s = missing[i]!
      cache.set(s, object === s.object ? s.json : Buffer.from(JSON.stringify(object)))
    })
    return out.map((json, i) => json ?? cache.get(stored[i]!)!)
  })
}

export const servedJson = (endpoint: Endpoint, stored: Stored): Maybe<Buffer> =>
  endpoint.sole ? stored.json : after(servedJsonAll(endpoint, [stored]), ([json]) => json!)
