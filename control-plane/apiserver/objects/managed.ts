/** metadata.managedFields of plain writes. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { updateManagedFields } from '#shared/machinery/managedfields/update.ts'
import { formatTime } from '#shared/machinery/time.ts'
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

/** Records in `object` what `writer` set, compared with `old`. */
export function recordManager(endpoint: Endpoint, old: KubeObject | undefined, object: KubeObject, writer: Writer): void {
  const { resource } = endpoint
  // In the stored version: the only kind with two versions has the same field set in the store for both.
  updateManagedFields({
    schema: resource.schema,
    live: old,
    object,
    manager: writer.fieldManager,
    apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version,
    subresource: writer.subresource,
    reset: resetFields(endpoint, writer.subresource),
    now: formatTime(),
  })
}
