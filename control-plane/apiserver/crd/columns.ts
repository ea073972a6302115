/** The columns of a custom kind (k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor). */
import type { CustomResourceColumnDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Column } from '#shared/api/resource.ts'
import { parseJsonPath, type JsonPath } from '#shared/machinery/jsonpath.ts'
import { normalTime } from '#shared/machinery/scalar.ts'
import { age } from '#shared/machinery/time.ts'

const name: Column<KubeObject> = {
  name: 'Name',
  type: 'string',
  format: 'name',
  doc: 'Name must be unique within a namespace.',
  cell: o => o.metadata.name ?? '',
}
const defaults: readonly CustomResourceColumnDefinition[] = [
  { name: 'Age', type: 'date', description: 'How long ago the object was created.', jsonPath: '.metadata.creationTimestamp' },
]

/** The name, then what the definition says, or else the age. Of paths that cannot be read, and what is behind them, there is no column. */
export function columnsOf(definitions: readonly CustomResourceColumnDefinition[] = []): readonly Column<KubeObject>[] {
  const columns = [name]
  for (const d of definitions.length > 0 ? definitions : defaults) {
    try {
      columns.push(columnOf(d, parseJsonPath(d.jsonPath)))
    } catch {
      break
    }
  }
  return columns
}

const columnOf = (d: CustomResourceColumnDefinition, path: JsonPath): Column<KubeObject> => ({
  name: d.name,
  type: d.type as Column<KubeObject>['type'],
  ...(d.format ? { format: d.format } : {}),
  priority: d.priority ?? 0,
  doc: d.description || `Custom resource definition column (in JSONPath format): ${d.jsonPath}`,
  cell: o => cellOf(d.type, path(o)[0]),
})

/** Null for what is not there, or not of the column's type. */
function cellOf(type: string, value: unknown): string | number | bigint | boolean | null {
  if (value === undefined || value === null) return null
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : typeof value === 'bigint' ? value : null
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint' ? value : null
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'date':
      if (typeof value !== 'string') return null
      return normalTime(value) === undefined ? '<invalid>' : age(value)
    default:
      return typeof value === 'object' ? JSON.stringify(value) : String(value)
  }
}
