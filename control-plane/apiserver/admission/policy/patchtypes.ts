/** `Object{...}` and `JSONPatch{...}` of mutations: k8s.io/apiserver/pkg/cel/mutation. */
import type { EnvironmentOptions, MapValue, Type, Value } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'

/** An object that an expression made; `type` is the name of its type, `Object.spec`. */
export interface MadeObject extends MapValue {
  readonly type: string
  readonly fields: ReadonlyMap<string, Value>
}

const objectTypes = new Map<string, Type>()
/** Names come from expressions of users; the types themselves are all alike. */
const maxTypes = 1000

/** `Object` and what is below it: any field of any type. */
export function objectType(name: string): Type {
  let type = objectTypes.get(name)
  if (!type) {
    if (objectTypes.size >= maxTypes) objectTypes.clear()
    const { dyn, struct } = cel().types
    objectTypes.set(name, (type = struct(name, () => dyn)))
  }
  return type
}
let patch: Type | undefined
export function jsonPatchType(): Type {
  const { dyn, string, struct } = cel().types
  return (patch ??= struct('JSONPatch', field =>
    field === 'op' || field === 'path' || field === 'from' ? string : field === 'value' ? dyn : undefined,
  ))
}

let made: (new (type: string, fields: ReadonlyMap<string, Value>) => MadeObject) | undefined
function madeObject(): NonNullable<typeof made> {
  const { MapValue: Base } = cel()
  return (made ??= class extends Base implements MadeObject {
    readonly type: string
    readonly fields: ReadonlyMap<string, Value>
    constructor(type: string, fields: ReadonlyMap<string, Value>) {
      super()
      this.type = type
      this.fields = fields
    }
    get size(): number {
      return this.fields.size
    }
    get(key: Value): Value | undefined {
      return typeof key === 'string' ? this.fields.get(key) : undefined
    }
    keys(): Iterable<Value> {
      return this.fields.keys()
    }
  })
}
export const isMade = (v: Value): v is MadeObject => made !== undefined && v instanceof made

export const patchTypes = (): Pick<EnvironmentOptions, 'types' | 'construct'> => ({
  types: {
    get: name => (name === 'JSONPatch' ? jsonPatchType() : name === 'Object' || name.startsWith('Object.') ? objectType(name) : undefined),
  },
  construct: (type, fields) => new (madeObject())(type.name, fields),
})

/** Objects are made by the names of the fields that they are in: what is of another type is told. */
export function misnamed(v: Value, path: string): string[] {
  const { ListValue, MapValue } = cel()
  if (isMade(v)) {
    const wrong =
      v.type === path
        ? []
        : [
            `unexpected type name ${JSON.stringify(v.type)}, expected ${JSON.stringify(path)}, which matches field name path from root Object type`,
          ]
    for (const [name, value] of v.fields) wrong.push(...misnamed(value, `${path}.${name}`))
    return wrong
  }
  if (v instanceof ListValue) return [...v].flatMap(item => misnamed(item, path))
  if (v instanceof MapValue) return [...v.keys()].flatMap(key => misnamed(v.get(key)!, path))
  return []
}
