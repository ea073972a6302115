/** OpenAPI of other servers: cut down to a group version, made fit to be joined with ours, and version 2 as version 3. */
import { encodeGnostic } from './gnostic.ts'
import type { PartV2 } from './v2.ts'

/** Deeper ones are not looked into. */
const maxDepth = 100
/** Bytes of what is left of a document, as JSON. */
const maxBytes = 8 * 1024 * 1024

type Json = { readonly [key: string]: unknown }
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const objectAt = (value: unknown, key: string): Json => {
  const member = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return isObject(member) ? member : {}
}

/** A copy with the members that `replace` gives in the place of every reference. Throws for what is too deep. */
function mapReferences(value: unknown, replace: (reference: string) => Json, depth = 0): unknown {
  if (depth > maxDepth) throw new Error('the document is nested too deeply')
  if (Array.isArray(value)) return value.map(v => mapReferences(v, replace, depth + 1))
  if (!isObject(value)) return value
  const { $ref, ...others } = value
  if (typeof $ref === 'string') return { ...replace($ref), ...others }
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, mapReferences(v, replace, depth + 1)]))
}

const definitionPrefix = '#/definitions/'
const parameterPrefix = '#/parameters/'
const schemaPrefix = '#/components/schemas/'

/** What a document of version 2 says of a group version: its paths and the types they refer to. Throws for what cannot be shown. */
export function partOf(document: unknown, group: string, version: string): PartV2 {
  const all = objectAt(document, 'definitions')
  const parameters = objectAt(document, 'parameters')
  const definitions = new Map<string, Json>()
  const wanted: string[] = []
  let inlined = 0
  const keep = (reference: string): Json => {
    if (reference.startsWith(definitionPrefix)) {
      wanted.push(reference.slice(definitionPrefix.length))
      return { $ref: reference }
    }
    // A shared parameter stands where the reference stood: names of ours and theirs cannot meet.
    const { schema, ...own } = reference.startsWith(parameterPrefix) ? objectAt(parameters, reference.slice(parameterPrefix.length)) : {}
    inlined += JSON.stringify(own).length
    if (inlined > maxBytes) throw new Error('its shared parameters are too large')
    return { ...own, ...(schema === undefined ? {} : { schema: mapReferences(schema, keep) }) }
  }
  const below = `/apis/${group}/${version}/`
  const own = Object.entries(objectAt(document, 'paths')).filter(([path, item]) => path.startsWith(below) && isObject(item))
  const paths = mapReferences(Object.fromEntries(own), keep) as PartV2['paths']
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (definitions.has(name) || !Object.hasOwn(all, name) || !isObject(all[name])) continue
    definitions.set(name, {})
    definitions.set(name, mapReferences(all[name], keep) as Json)
  }
  const part: PartV2 = { paths, definitions: Object.fromEntries(definitions) }
  if (JSON.stringify(part).length > maxBytes) throw new Error(`what it says of ${group}/${version} has more than ${maxBytes} bytes`)
  // What cannot be written in protobuf must not be in a document that can.
  encodeGnostic({ ...part })
  return part
}

/** Renames the types of a part that are others of the same name in `taken`. */
export function withoutConflicts({ paths, definitions }: PartV2, taken: PartV2['definitions']): PartV2 {
  const renamed = new Map<string, string>()
  for (const [name, definition] of Object.entries(definitions)) {
    if (!Object.hasOwn(taken, name) || JSON.stringify(taken[name]) === JSON.stringify(definition)) continue
    let n = 2
    while (Object.hasOwn(taken, `${name}_v${n}`) || Object.hasOwn(definitions, `${name}_v${n}`)) n++
    renamed.set(name, `${name}_v${n}`)
  }
  if (renamed.size === 0) return { paths, definitions }
  const rename = (reference: string): Json => {
    const to = reference.startsWith(definitionPrefix) ? renamed.get(reference.slice(definitionPrefix.length)) : undefined
    return { $ref: to === undefined ? reference : definitionPrefix + to }
  }
  return {
    paths: mapReferences(paths, rename) as PartV2['paths'],
    definitions: Object.fromEntries(
      Object.entries(definitions).map(([name, d]) => [renamed.get(name) ?? name, mapReferences(d, rename) as Json]),
    ),
  }
}

/** A part as a document of version 3, for servers that have none of their own. */
export function toV3({ paths, definitions }: PartV2, title: string, version: string): Buffer {
  const point = (reference: string): Json => ({ $ref: reference.replace(definitionPrefix, schemaPrefix) })
  const schemas = mapReferences(definitions, point) as Json
  const items = mapReferences(paths, point) as Json
  return Buffer.from(
    JSON.stringify({
      openapi: '3.0.0',
      info: { title, version },
      paths: Object.fromEntries(Object.entries(items).map(([path, item]) => [path, itemV3(item as Json)])),
      components: { schemas },
    }),
  )
}

const methods = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch'])
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

function itemV3(item: Json): Json {
  const { parameters, ...operations } = item
  return {
    ...Object.fromEntries(Object.entries(operations).map(([name, o]) => [name, methods.has(name) && isObject(o) ? operationV3(o) : o])),
    ...(parameters === undefined ? {} : { parameters: list(parameters).filter(isObject).map(parameterV3) }),
  }
}

function operationV3({ consumes, produces, schemes: _, parameters, responses, ...rest }: Json): Json {
  const all = list(parameters).filter(isObject)
  const body = all.find(p => p['in'] === 'body')
  const others = all.filter(p => p !== body)
  return {
    ...rest,
    ...(others.length > 0 ? { parameters: others.map(parameterV3) } : {}),
    ...(body
      ? {
          requestBody: {
            ...(body['description'] === undefined ? {} : { description: body['description'] }),
            ...(body['required'] === undefined ? {} : { required: body['required'] }),
            content: contentV3(consumes, body['schema']),
          },
        }
      : {}),
    ...(isObject(responses)
      ? {
          responses: Object.fromEntries(
            Object.entries(responses).map(([code, r]) => {
              const { schema, ...own } = isObject(r) ? r : {}
              return [code, { ...own, ...(schema === undefined ? {} : { content: contentV3(produces, schema) }) }]
            }),
          ),
        }
      : {}),
  }
}

const contentV3 = (types: unknown, schema: unknown): Json => {
  const names = list(types).filter(t => typeof t === 'string')
  return Object.fromEntries((names.length > 0 ? names : ['*/*']).map(type => [type, { schema }]))
}

const ofParameter = new Set(['name', 'in', 'description', 'required'])
function parameterV3(parameter: Json): Json {
  const entries = Object.entries(parameter)
  return {
    ...Object.fromEntries(entries.filter(([key]) => ofParameter.has(key) || key.startsWith('x-'))),
    schema: Object.fromEntries(entries.filter(([key]) => !ofParameter.has(key) && !key.startsWith('x-'))),
  }
}
