/** The types that the npm package kubernetes-models publishes for Kubernetes v1.35, read from its declarations. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const modules = new URL('../../../node_modules/', import.meta.url).pathname

export type Published =
  | { kind: 'string' | 'number' | 'boolean' | 'quantity' | 'time' | 'int-or-string' | 'any' }
  | { kind: 'list' | 'map'; item: Published }
  | { kind: 'object'; file: string }
export interface PublishedField {
  optional: boolean
  type: Published
}

/** Types that are not what their declaration says, by the last part of their name. */
const special: Record<string, Published> = {
  Quantity: { kind: 'quantity' },
  IntOrString: { kind: 'int-or-string' },
  Time: { kind: 'time' },
  MicroTime: { kind: 'time' },
  FieldsV1: { kind: 'any' },
  JSON: { kind: 'any' },
  JSONSchemaPropsOrArray: { kind: 'any' },
  JSONSchemaPropsOrBool: { kind: 'any' },
  JSONSchemaPropsOrStringArray: { kind: 'any' },
  RawExtension: { kind: 'any' },
}

/** The declaration of a kind. Throws when the package has none. */
export function kindFile(group: string, version: string, kind: string): string {
  const file = join(modules, 'kubernetes-models', group, version, `${kind}.d.ts`)
  if (!existsSync(file)) throw new Error(`kubernetes-models has no ${file}`)
  return file
}

const files = new Map<string, Map<string, PublishedField>>()

/** The fields of the type that a file declares. */
export function fieldsIn(file: string): Map<string, PublishedField> {
  let fields = files.get(file)
  if (!fields) files.set(file, (fields = parse(file)))
  return fields
}

function parse(file: string): Map<string, PublishedField> {
  const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  const imports = new Map<string, string>()
  for (const [, names = '', from = ''] of text.matchAll(/import \{([^}]*)\} from "([^"]*)"/g)) {
    const path = from.startsWith('.') ? join(dirname(file), from.replace(/\.js$/, '.d.ts')) : join(modules, `${from}.d.ts`)
    for (const name of names.split(',')) imports.set(name.trim(), path)
  }
  // A type may refer to itself.
  const own = /export interface (\w+)/.exec(text)?.[1]
  if (own) imports.set(own, file)
  const body = /export interface \w+(?: extends TypeMeta)? \{([\s\S]*?)\n\}/.exec(text)?.[1] ?? ''
  return new Map(
    [...body.matchAll(/\n {4}"([^"]+)"(\??): ([\s\S]*?);(?=\s*\n {4}"|\s*$)/g)].map(([, name = '', mark, type = '']) => [
      name,
      { optional: mark === '?', type: typeOf(type.trim(), imports) },
    ]),
  )
}

function typeOf(text: string, imports: Map<string, string>): Published {
  const list = /^Array<([\s\S]*)>$/.exec(text)
  if (list) return { kind: 'list', item: typeOf(list[1]!.trim(), imports) }
  const map = /^\{\s*\[key: string\]: ([\s\S]*);\s*\}$/.exec(text)
  if (map) return { kind: 'map', item: typeOf(map[1]!.trim(), imports) }
  if (text === 'string' || text === 'number' || text === 'boolean') return { kind: text }
  if (text.startsWith('"')) return { kind: 'string' }
  // A kind inside of another is written out; its spec's type has its name.
  const spec = /^\{\s*"apiVersion"[^]*"spec"\?: (\w+);/.exec(text)?.[1]
  if (spec) return { kind: 'object', file: imports.get(spec)!.replace('Spec.d.ts', '.d.ts') }
  const file = imports.get(text)
  if (!file) throw new Error(`unknown type ${text}`)
  return special[file.replace(/^.*\//, '').replace('.d.ts', '')] ?? { kind: 'object', file }
}
