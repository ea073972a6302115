/** metadata.managedFields of plain writes. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Endpoint } from './endpoint.ts'
import type { Writer } from './store.ts'

/** Records in `object` what `writer` set, compared with `old`. */
export function recordManager(_endpoint: Endpoint, _old: KubeObject | undefined, _object: KubeObject, _writer: Writer): void {}
