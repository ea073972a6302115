/**
 * The description of an API type: plain data from which decoding, defaulting, OpenAPI, merge keys, wire codecs and TypeScript
 * types all come. It is data and not zod objects, because thousands of zod fields take a third of a second to build and
 * Kubernetes' rules (null is unset, Go's words for errors, list types, protobuf tags) are not zod's.
 */

declare const phantom: unique symbol
interface Typed<T> {
  readonly [phantom]?: T
}

export type StringFormat = 'byte' | 'date-time' | 'micro-time' | 'quantity' | 'duration' | 'int-or-string'

export interface StringSchema<T = string> extends Typed<T> {
  readonly type: 'string'
  readonly format?: Exclude<StringFormat, 'int-or-string'>
  /** Documented values; validation, not decoding, refuses others. */
  readonly enum?: readonly string[]
}
export interface IntOrStringSchema extends Typed<number | string> {
  readonly type: 'int-or-string'
}
export interface IntegerSchema extends Typed<number> {
  readonly type: 'integer'
  readonly format: 'int32' | 'int64'
}
export interface NumberSchema extends Typed<number> {
  readonly type: 'number'
}
export interface BooleanSchema extends Typed<boolean> {
  readonly type: 'boolean'
}
/** Any JSON value, kept as it is. */
export interface AnySchema extends Typed<unknown> {
  readonly type: 'any'
  /** Published as an object: RawExtension, FieldsV1. */
  readonly object: boolean
  readonly either?: Either
}
/** An object of a type, or something else in its place: JSONSchemaPropsOrArray, OrBool and OrStringArray. */
export interface Either {
  readonly schema: () => ObjectSchema
  readonly or: 'list' | 'boolean' | 'strings'
}
export interface ListSchema<S extends Schema = Schema> extends Typed<Infer<S>[]> {
  readonly type: 'list'
  readonly items: S
  /** Server-side apply: how lists merge; `atomic` when absent. */
  readonly listType?: 'atomic' | 'set' | 'map'
  readonly listMapKeys?: readonly string[]
}
export interface MapSchema<S extends Schema = Schema> extends Typed<{ [key: string]: Infer<S> }> {
  readonly type: 'map'
  readonly values: S
  /** Server-side apply: the map is one value. */
  readonly atomic?: boolean
}
export interface ObjectSchema<F extends Fields = Fields> extends Typed<InferFields<F>> {
  readonly type: 'object'
  /** The published definition name, `io.k8s.api.core.v1.Pod`. */
  readonly name: string
  readonly doc: string
  /** Built on first use, so that types may refer to themselves and unused kinds cost nothing. */
  readonly fields: F
  /** The whole struct is one value for server-side apply (`x-kubernetes-map-type: atomic`), as LabelSelector is. */
  readonly atomic?: boolean
  /** In a field whose struct is not atomic there, though its type is. */
  readonly granular?: boolean
}
// The structural union; a concrete schema keeps its own, narrower type so that Infer sees it.
export type Schema =
  | StringSchema<unknown>
  | IntOrStringSchema
  | IntegerSchema
  | NumberSchema
  | BooleanSchema
  | AnySchema
  | ListSchema<any> // any: the union refers to itself through its parameter
  | MapSchema<any>
  | ObjectSchema<any>

export interface FieldOptions {
  /** One line in our own words, shown by `kubectl explain`. */
  doc?: string
  /** Filled in when the field is absent and its parent is there. Defaults that look at other fields belong to the resource. */
  default?: unknown
  /**
   * Strategic merge patch: lists merge by this key; `patchStrategy` as upstream's struct tag (`merge`, `retainKeys`, both comma-separated).
   */
  mergeKey?: string
  /**
   * Whether Go holds the field by pointer, which decides what becomes of zero values. Optional fields: by pointer a zero that was set stays
   * (`replicas: 0`), by value it is dropped (`hostNetwork: false`); when absent, strings are by value, numbers and booleans by pointer.
   * Required structs: by pointer they may be missing (a Deployment's selector), else a missing one becomes `{}` with its own required
   * fields.
   */
  pointer?: boolean
  /** Of an optional field: written though it is empty, as Go's tag has no `omitempty`. */
  keepsEmpty?: boolean
  patchStrategy?: 'merge' | 'retainKeys' | 'merge,retainKeys' | 'replace'
}
/** What a field may say in place of its list or map. */
export interface MergeOptions {
  listType?: ListSchema['listType']
  listMapKeys?: readonly string[]
  mapType?: 'granular' | 'atomic'
}
export interface Field<S extends Schema = Schema, O extends boolean = boolean> extends FieldOptions {
  /** Go's `omitempty`: an optional field that is dropped when it holds its zero value; see FieldOptions.pointer. */
  readonly omitEmpty: boolean
  /**
   * Written though nobody set it: required fields, unless Go holds them by pointer, optional times that Go holds by value, which it writes
   * as null (an Event's `eventTime`), and optional lists with `pointer: false`, which Go writes without `omitempty` (a Role's `rules`).
   */
  readonly always: boolean
  /** The protobuf field number; 0 where the type has no protobuf form. */
  readonly tag: number
  readonly schema: S
  readonly optional: O
  /**
   * Set when Go embeds the struct: the JSON is flat, but protobuf nests the field in message `name` under `tag`; in several, the outermost
   * first, when what is embedded embeds.
   */
  readonly inline?: readonly { readonly tag: number; readonly name: string }[]
}
export type Fields = { readonly [name: string]: Field<any, any> }

export type Infer<S> = S extends Typed<infer T> ? T : never
type Pretty<T> = { [K in keyof T]: T[K] } & {}
export type InferFields<F extends Fields> = Pretty<
  { -readonly [K in keyof F as F[K]['optional'] extends true ? never : K]: Infer<F[K]['schema']> } & {
    -readonly [K in keyof F as F[K]['optional'] extends true ? K : never]?: Infer<F[K]['schema']> | undefined
  }
>

export const str = <T extends string = string>(values?: readonly T[]): StringSchema<string> =>
  values ? { type: 'string', enum: values } : { type: 'string' }
/** Base64 in JSON, `bytes` on the wire. */
export const bytes = (): StringSchema<string> => ({ type: 'string', format: 'byte' })
/** RFC 3339 with whole seconds. */
export const time = (): StringSchema<string> => ({ type: 'string', format: 'date-time' })
/** RFC 3339 with microseconds. */
export const microTime = (): StringSchema<string> => ({ type: 'string', format: 'micro-time' })
/** A resource.Quantity; a JSON number is accepted on decode and becomes its string. */
export const quantity = (): StringSchema<string> => ({ type: 'string', format: 'quantity' })
/** A metav1.Duration, `1m30s`. */
export const duration = (): StringSchema<string> => ({ type: 'string', format: 'duration' })
export const intOrString = (): IntOrStringSchema => ({ type: 'int-or-string' })
export const int32 = (): IntegerSchema => ({ type: 'integer', format: 'int32' })
export const int64 = (): IntegerSchema => ({ type: 'integer', format: 'int64' })
export const double = (): NumberSchema => ({ type: 'number' })
export const bool = (): BooleanSchema => ({ type: 'boolean' })
export const any = (): AnySchema => ({ type: 'any', object: true })
export const json = (): AnySchema => ({ type: 'any', object: false })
export const either = (schema: () => ObjectSchema<any>, or: Either['or']): AnySchema => ({
  type: 'any',
  object: false,
  either: { schema, or },
})
export const list = <S extends Schema>(items: S): ListSchema<S> => ({ type: 'list', items })
export const map = <S extends Schema>(values: S): MapSchema<S> => ({ type: 'map', values })

/** An object type. `fields` is called once, when somebody first looks. */
export function obj<F extends Fields>(name: string, doc: string, fields: () => F, options?: { atomic?: boolean }): ObjectSchema<F> {
  return {
    type: 'object',
    name,
    doc,
    get fields() {
      const built = fields()
      Object.defineProperty(this, 'fields', { value: built, enumerable: true })
      return built
    },
    ...options,
  } as ObjectSchema<F>
}

/** A field that is always written, as in Go a field without `omitempty`; OpenAPI lists it as required. */
export const req = <S extends Schema>(tag: number, schema: S, options: FieldOptions & MergeOptions = {}): Field<S, false> =>
  field(tag, schema, false, options)
/** A field that may be absent. */
export const opt = <S extends Schema>(tag: number, schema: S, options: FieldOptions & MergeOptions = {}): Field<S, true> =>
  field(tag, schema, true, options)

function field<S extends Schema, O extends boolean>(
  tag: number,
  schema: S,
  optional: O,
  { listType, listMapKeys, mapType, ...options }: FieldOptions & MergeOptions,
): Field<S, O> {
  const merging = {
    ...(listType ? { listType } : {}),
    ...(listMapKeys ? { listMapKeys } : {}),
    ...(mapType === 'atomic' ? { atomic: true } : mapType === 'granular' ? { granular: true } : {}),
  }
  return {
    tag,
    schema: listType || listMapKeys || mapType ? { ...schema, ...merging } : schema,
    optional,
    omitEmpty: optional && omitsZero(schema, options),
    always: optional
      ? options.pointer === false && (isTime(schema) || schema.type === 'list')
      : options.pointer !== true && schema.type !== 'any',
    ...options,
  }
}

const isTime = (schema: Schema): boolean => schema.type === 'string' && (schema.format === 'date-time' || schema.format === 'micro-time')

/** Whether an optional field is dropped with its zero value. */
function omitsZero(schema: Schema, o: FieldOptions): boolean {
  if (o.pointer === true) return false
  switch (schema.type) {
    case 'string':
      return schema.format !== 'quantity'
    case 'list':
    case 'map':
      return true
    case 'integer':
    case 'number':
    case 'boolean':
      // The published schemas show a zero default only where Go holds the field by value.
      return o.pointer === false || o.default === 0 || o.default === false
    default:
      return false
  }
}

/** The fields of an embedded Go struct, to spread into its parent's: flat in JSON, nested under `tag` in protobuf. */
export function inline<F extends Fields>(tag: number, embedded: ObjectSchema<F>): F {
  const out: Record<string, Field> = {}
  for (const [name, field] of Object.entries(embedded.fields as Fields))
    out[name] = { ...field, inline: [{ tag, name: embedded.name }, ...(field.inline ?? [])] }
  return out as F
}
