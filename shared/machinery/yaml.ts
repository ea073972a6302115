/** YAML bodies: read as upstream's YAML 1.1 parser reads them and turned into JSON text, on which the ordinary decoding goes on. */
import {
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type CreateNodeOptions,
  type DocumentOptions,
  type ParseOptions,
  type SchemaOptions,
} from 'yaml'
import { DecodeError } from './decode.ts'

const unwanted = new Set(['timestamp', 'binary', 'omap', 'pairs', 'set'].map(name => `tag:yaml.org,2002:${name}`))

/** As go-yaml: `yes`, `on` and `y` are booleans, `0777` is octal, but there are no sexagesimal numbers, and dates stay text. */
const options: ParseOptions & DocumentOptions & SchemaOptions & CreateNodeOptions = {
  version: '1.1',
  merge: true,
  uniqueKeys: false,
  logLevel: 'silent',
  customTags: tags => tags.filter(tag => typeof tag === 'string' || (!unwanted.has(tag.tag) && tag.format !== 'TIME')),
}
/** Aliases that a document may expand to, so that a small body cannot become a huge one. */
const maxAliasCount = 100

/**
 * The JSON text of a YAML document, and the keys that it sets twice in upstream's words (`line 4: key "name" already set in map`). An empty
 * document is `null`. Throws DecodeError when it is no YAML.
 */
export function yamlToJson(text: string): { json: string; duplicate: string[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { ...options, lineCounter: lines })
  const error = document.errors[0]
  if (error)
    throw new DecodeError(
      `yaml: line ${error.linePos?.[0].line ?? 1}: ${error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '')}`,
    )
  const duplicate: string[] = []
  visit(document, {
    Map(_, map) {
      const seen = new Set<string>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        const name = String(key.value)
        if (seen.has(name))
          duplicate.push(`line ${lines.linePos(key.range?.[0] ?? 0).line}: key ${JSON.stringify(name)} already set in map`)
        seen.add(name)
      }
    },
  })
  if (document.contents !== null && !isMap(document.contents)) {
    const what = isScalar(document.contents) ? 'scalar' : 'sequence'
    throw new DecodeError(`json: cannot unmarshal ${what === 'scalar' ? 'string' : 'array'} into Go value of type map[string]interface {}`)
  }
  try {
    return { json: JSON.stringify(document.toJS({ maxAliasCount }) ?? null, bigints), duplicate }
  } catch (e) {
    throw new DecodeError(`yaml: ${e instanceof Error ? e.message : String(e)}`)
  }
}

const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value)
