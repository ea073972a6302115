/** metadata.managedFields of plain writes. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { compare, type Comparison } from '#shared/machinery/managedfields/compare.ts'
import { updateManagedFields } from '#shared/machinery/managedfields/update.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { after, inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { servedOfHub } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'
import type { Writer } from './store.ts'

const nothing: readonly (readonly string[])[] = []
const status = [['f:status']]
const spec = [['f:spec']]

/** What a write through a subresource leaves alone, as element paths. */
export const resetFields = (endpoint: Endpoint, subresource: string): readonly (readonly string[])[] =>
  subresource === 'status'
    ? (endpoint.resource.statusResetFields ?? spec)
    : endpoint.resource.hasStatus && subresource === ''
      ? status
      : nothing

/**
 * Records in `object` what `writer` set, compared with `old`; both in the hub form. The comparison is made in the version of the request,
 * and for what others manage in theirs. Gives a promise only when somebody else converts.
 */
export function recordManager(endpoint: Endpoint, old: KubeObject | undefined, object: KubeObject, writer: Writer): Maybe<void> {
  const write = {
    codec: endpoint.codec,
    live: old,
    object,
    manager: writer.fieldManager,
    apiVersion: endpoint.apiVersion,
    subresource: writer.subresource,
    reset: resetFields(endpoint, writer.subresource),
    now: formatTime(),
  }
  const versions = new Set<string>()
  for (const { metadata } of old ? [old, object] : [object])
    for (const entry of metadata.managedFields ?? []) if (entry.apiVersion !== endpoint.apiVersion) versions.add(entry.apiVersion ?? '')
  if (!endpoint.definition.conversion && versions.size === 0) return updateManagedFields(write)
  const recorded = after(comparisons(endpoint, old, object, versions), others =>
    after(own(endpoint, object), mine =>
      after(old && servedOfHub(endpoint, old), live => {
        updateManagedFields({ ...write, live, object: mine, others })
        const { managedFields } = mine.metadata
        if (managedFields) object.metadata.managedFields = managedFields
        else delete object.metadata.managedFields
      }),
    ),
  )
  // As upstream, rather no managers than no write.
  return recorded instanceof Promise ? recorded.catch(() => void delete object.metadata.managedFields) : recorded
}

/** The object as this version shows it, with metadata of its own. */
const own = (endpoint: Endpoint, object: KubeObject): Maybe<KubeObject> =>
  after(servedOfHub(endpoint, object), served => ({ ...served, metadata: { ...served.metadata } }))

/** What changes in other versions of the kind; a version that is not served is left out. */
function comparisons(
  { forms, hub }: Endpoint,
  old: KubeObject | undefined,
  object: KubeObject,
  versions: ReadonlySet<string>,
): Maybe<ReadonlyMap<string, Comparison>> {
  const out = new Map<string, Comparison>()
  const compareIn = (version: string): Maybe<void> => {
    const form = forms.get(version) ?? (version === hub.apiVersion ? { codec: hub.codec, definition: undefined } : undefined)
    if (!form) return
    const convert = form.definition?.conversion?.fromHub ?? ((objects: readonly KubeObject[]) => objects)
    const { codec } = form
    return after(convert(old ? [object, old] : [object]), ([now, before]) => {
      out.set(version, compare(codec.shape, unmanaged(before) ?? codec.empty, unmanaged(now)!))
    })
  }
  return after(inTurn(versions, compareIn), () => out)
}

function unmanaged(object: KubeObject | undefined): KubeObject | undefined {
  if (!object) return undefined
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata }
}
