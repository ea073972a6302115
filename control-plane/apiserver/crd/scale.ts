/** The scale subresource of a custom kind: where it finds its values, and what they must be (registry/customresource/validator.go). */
import type { CustomResourceSubresourceScale } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource, WriteContext } from '#shared/api/resource.ts'
import { invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { setOwn } from '#shared/machinery/jsonvalue.ts'

type Values = Record<string, unknown>
const namesOf = (path: string): string[] => path.replace(/^\./, '').split('.')

function find(object: KubeObject, path: string): unknown {
  let value: unknown = object
  for (const name of namesOf(path)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Values)[name]
  }
  return value
}

function set(object: KubeObject, path: string, value: unknown): void {
  const names = namesOf(path)
  const last = names.pop()!
  let at: object = object
  for (const name of names) {
    const below: unknown = Object.hasOwn(at, name) ? (at as Values)[name] : undefined
    if (typeof below === 'object' && below !== null) at = below
    else {
      const made = {}
      setOwn(at, name, made)
      at = made
    }
  }
  setOwn(at, last, value)
}

export function scaleOf({ specReplicasPath, statusReplicasPath, labelSelectorPath }: CustomResourceSubresourceScale): Resource['scale'] {
  const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
  return {
    replicas: (o: KubeObject) => number(find(o, specReplicasPath)),
    status: (o: KubeObject) => number(find(o, statusReplicasPath)) ?? 0,
    selector: (o: KubeObject) => (labelSelectorPath ? String(find(o, labelSelectorPath) ?? '') : ''),
    set: (o: KubeObject, replicas) => set(o, specReplicasPath, replicas),
    path: specReplicasPath,
  }
}

const most = 2 ** 31 - 1

/** As Go's `%v` and `%T` show a value of JSON. */
const goValue = (value: unknown): string =>
  Array.isArray(value)
    ? `[${value.map(goValue).join(' ')}]`
    : typeof value === 'object' && value !== null
      ? `map[${Object.entries(value)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([k, v]) => `${k}:${goValue(v)}`)
          .join(' ')}]`
      : value === null
        ? '<nil>'
        : String(value)
function goType(value: unknown): string {
  if (value === null) return '<nil>'
  if (typeof value === 'string') return 'string'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int64'
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'int64' : 'float64'
  return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}'
}

/** What keeps a value of a Go type from being read there: it or something above it is of another one. */
function accessError(object: KubeObject, path: string, wanted: 'int64' | 'string'): string | undefined {
  const names = namesOf(path)
  let value: unknown = object
  const wrong = (depth: number, want: string): string =>
    `.${names.slice(0, depth).join('.')} accessor error: ${goValue(value)} is of the type ${goType(value)}, expected ${want}`
  for (const [i, name] of names.entries()) {
    if (value === null) return undefined
    if (typeof value !== 'object' || Array.isArray(value)) return wrong(i + 1, 'map[string]interface{}')
    if (!Object.hasOwn(value, name) || (value as Values)[name] === undefined) return undefined
    value = (value as Values)[name]
  }
  return goType(value) === wanted ? undefined : wrong(names.length, wanted)
}

function validateReplicas(object: KubeObject, path: string): FieldError[] {
  const at = new Path(path)
  const why = accessError(object, path, 'int64')
  if (why !== undefined) return [invalid(at, 0, why)]
  const value = (find(object, path) as number | bigint | undefined) ?? 0
  if (value < 0) return [invalid(at, value, 'should be a non-negative integer')]
  return value > most ? [invalid(at, value, `should be less than or equal to ${most}`)] : []
}

/** The rules of creates and updates; a write to status leaves the spec alone. */
export function scaleRules(scale: CustomResourceSubresourceScale): Pick<Resource, 'validateCreate' | 'validateUpdate'> {
  const status = (object: KubeObject): FieldError[] => {
    const { labelSelectorPath: path } = scale
    const why = path ? accessError(object, path, 'string') : undefined
    return [...validateReplicas(object, scale.statusReplicasPath), ...(path && why !== undefined ? [invalid(new Path(path), '', why)] : [])]
  }
  const all = (object: KubeObject): FieldError[] => [...validateReplicas(object, scale.specReplicasPath), ...status(object)]
  return {
    validateCreate: all,
    validateUpdate: (object: KubeObject, _old: KubeObject, _at: Path, ctx: WriteContext) =>
      ctx.subresource === 'status' ? status(object) : all(object),
  }
}
