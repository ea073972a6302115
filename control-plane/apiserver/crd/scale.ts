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
const goType = (value: unknown): string =>
  typeof value === 'string'
    ? 'string'
    : typeof value === 'boolean'
      ? 'bool'
      : Array.isArray(value)
        ? '[]interface {}'
        : 'map[string]interface {}'
const wrongType = (path: string, value: unknown, wanted: string): string =>
  `${path} accessor error: ${typeof value === 'object' ? JSON.stringify(value) : String(value)} is of the type ${goType(value)}, expected ${wanted}`

function validateReplicas(object: KubeObject, path: string): FieldError[] {
  const value = find(object, path)
  const at = new Path(path)
  if (value === undefined) return []
  if (typeof value !== 'number') return [invalid(at, 0, wrongType(path, value, 'int64'))]
  if (value < 0) return [invalid(at, value, 'should be a non-negative integer')]
  return value > most ? [invalid(at, value, `should be less than or equal to ${most}`)] : []
}

/** The rules of creates and updates; a write to status leaves the spec alone. */
export function scaleRules(scale: CustomResourceSubresourceScale): Pick<Resource, 'validateCreate' | 'validateUpdate'> {
  const status = (object: KubeObject): FieldError[] => {
    const { labelSelectorPath: path } = scale
    const selector = path ? find(object, path) : undefined
    return [
      ...validateReplicas(object, scale.statusReplicasPath),
      ...(path && selector !== undefined && typeof selector !== 'string'
        ? [invalid(new Path(path), '', wrongType(path, selector, 'string'))]
        : []),
    ]
  }
  const all = (object: KubeObject): FieldError[] => [...validateReplicas(object, scale.specReplicasPath), ...status(object)]
  return {
    validateCreate: all,
    validateUpdate: (object: KubeObject, _old: KubeObject, _at: Path, ctx: WriteContext) =>
      ctx.subresource === 'status' ? status(object) : all(object),
  }
}
