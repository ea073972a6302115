/** The server's own rendering of objects in rows and columns, which kubectl get prints: meta.k8s.io Table. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Column, Resource } from '#shared/api/resource.ts'
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
  cells: (string | number | boolean)[]
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

const columnsOf = (resource: Resource): readonly Column<KubeObject>[] => resource.columns ?? nameAndAge

/** The columns of a kind; wide ones have priority 1. */
export const columnDefinitions = (resource: Resource): ColumnDefinition[] =>
  columnsOf(resource).map(c => ({
    name: c.name,
    type: c.type === 'date' ? 'string' : c.type,
    format: c.format ?? '',
    description: c.doc ?? '',
    priority: c.wide ? 1 : 0,
  }))

/**
 * The table of some objects of a kind, with what the list's or the single object's metadata says (`resourceVersion`, `continue`,
 * `remainingItemCount`). The objects carry their resourceVersion, and are not changed.
 */
export function tableOf(resource: Resource, objects: readonly KubeObject[], metadata: Table['metadata'], options: TableOptions): Table {
  const columns = columnsOf(resource)
  const apiVersion = `meta.k8s.io/${options.version}`
  return {
    kind: 'Table',
    apiVersion,
    metadata,
    columnDefinitions: options.headers === false ? null : columnDefinitions(resource),
    rows: objects.map(object => rowOf(columns, object, options)),
  }
}

function rowOf(columns: readonly Column<KubeObject>[], object: KubeObject, options: TableOptions): Row {
  const cells = columns.map(column => cellOf(column, object))
  if (options.includeObject === 'None') return { cells }
  return { cells, object: options.includeObject === 'Object' ? object : partialMetadata(object, options.version) }
}

/** A cell. An object that does not look as the column expects, such as one stored by another version, must not spoil the whole list. */
function cellOf(column: Column<KubeObject>, object: KubeObject): string | number | boolean {
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
