/** The server's own rendering of objects in rows and columns, which kubectl get prints: meta.k8s.io Table. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Column } from '#shared/api/resource.ts'
import { age } from '#shared/machinery/time.ts'
import { partialMetadata, type PartialObjectMetadata } from './partial.ts'

export type IncludeObject = 'None' | 'Metadata' | 'Object'

export interface ColumnDefinition {
  name: string
  type: string
  format: string
  description: string
  priority: number
}
export interface Row {
  cells: (string | number | bigint | boolean | null)[]
  object?: KubeObject | PartialObjectMetadata
}
export interface Table {
  kind: 'Table'
  apiVersion: string
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number }
  columnDefinitions: ColumnDefinition[] | null
  rows: Row[]
}
export interface TableOptions {
  /** `v1` or `v1beta1`. */
  version: string
  includeObject: IncludeObject
  /** Upstream sends the definitions with the first event of a watch only; then `columnDefinitions` is null. */
  headers?: boolean
}

/** What every kind without columns of its own shows. */
const nameAndAge: readonly Column<KubeObject>[] = [
  { name: 'Name', type: 'string', format: 'name', doc: 'Name must be unique within a namespace.', cell: o => o.metadata.name ?? '' },
  { name: 'Age', type: 'string', doc: 'How long ago the object was created.', cell: o => age(o.metadata.creationTimestamp) },
]

/** Columns as a table describes them; wide ones have priority 1. */
export const columnDefinitions = (columns: readonly Column<any>[] = nameAndAge): ColumnDefinition[] =>
  columns.map(c => ({
    name: c.name,
    type: c.type,
    format: c.format ?? '',
    description: c.doc ?? '',
    priority: c.priority ?? (c.wide ? 1 : 0),
  }))

/**
 * The table of some objects of a kind, with what the list's or the single object's metadata says (`resourceVersion`, `continue`,
 * `remainingItemCount`). `columns` are those of the kind, name and age when it has none. The objects carry their resourceVersion, and are
 * not changed; `shown` are the same objects in the version that the client asked for.
 */
export function tableOf(
  columns: readonly Column<any>[] = nameAndAge, // any: each column knows its own kind
  objects: readonly KubeObject[],
  metadata: Table['metadata'],
  options: TableOptions,
  shown: readonly KubeObject[] = objects,
): Table {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata,
    columnDefinitions: options.headers === false ? null : columnDefinitions(columns),
    rows: objects.map((object, i) => rowOf(columns, object, shown[i]!, options)),
  }
}

function rowOf(columns: readonly Column<KubeObject>[], object: KubeObject, shown: KubeObject, options: TableOptions): Row {
  const cells = columns.map(column => cellOf(column, object))
  if (options.includeObject === 'None') return { cells }
  return { cells, object: options.includeObject === 'Object' ? shown : partialMetadata(shown, options.version) }
}

/** A cell. An object that does not look as the column expects, such as one stored by another version, must not spoil the whole list. */
function cellOf(column: Column<KubeObject>, object: KubeObject): string | number | bigint | boolean | null {
  try {
    return column.cell(object)
  } catch {
    return column.type === 'integer' ? 0 : column.type === 'boolean' ? false : '<unknown>'
  }
}

/** Reads the `includeObject` parameter; undefined when it is none of the three values. */
export function parseIncludeObject(value: string | null): IncludeObject | undefined {
  if (value === null || value === '') return 'Metadata'
  return value === 'None' || value === 'Metadata' || value === 'Object' ? value : undefined
}
