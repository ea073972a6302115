/** A schema as a type of expressions: k8s.io/apiserver/pkg/cel/types.go. */
import type { SizeEstimator } from '../estimate.ts'
import type { Type } from '../types.ts'
import type { Value } from '../values.ts'

export interface Declared {
  readonly type: Type
  /** The most characters, items or keys; 0 where there is nothing to count. */
  readonly maxElements: number
  /** The fewest bytes of such a value in JSON. */
  readonly minSize: number
  /** Of an object, by the names that expressions write. */
  readonly fields?: ReadonlyMap<string, Declared>
  /** Of a map. */
  readonly key?: Declared
  /** Of a map or list. */
  readonly element?: Declared
  /** JSON of the schema as a value, looked into when an expression does. */
  readonly adapt: (raw: unknown) => Value
}

/** How large what is below variables of this type may be. */
export const sizesOf =
  (root: Declared): SizeEstimator =>
  path => {
    let at: Declared | undefined = root
    for (const name of path.slice(1)) {
      at = name === '@items' || name === '@values' ? at.element : name === '@keys' ? at.key : at.fields?.get(name)
      if (!at) return undefined
    }
    return { min: 0, max: at.maxElements }
  }
