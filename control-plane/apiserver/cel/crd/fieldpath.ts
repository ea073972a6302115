/** `fieldPath` of rules: a JSON path of names, `.spec.limits['cpu']`, that fits the schema (ValidFieldPath upstream). */
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import { Path } from '#shared/machinery/field.ts'

const step = /\.([^.[\]]+)|\['((?:[^'\\]|\\.)*)'\]/y
const escapes: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', "'": "'", '\\': '\\' }

/** Undefined when the path is none or does not fit. */
export function fieldPathOf(text: string, schema: JsonSchema): string | undefined {
  let path = new Path()
  let at = schema
  step.lastIndex = 0
  if (text === '') return undefined
  while (step.lastIndex < text.length) {
    const match = step.exec(text)
    if (!match) return undefined
    const name = match[1] ?? match[2]!.replace(/\\(.)/g, (_, c: string) => escapes[c] ?? '')
    if (at.properties) {
      const next: JsonSchema | undefined = Object.hasOwn(at.properties, name) ? at.properties[name] : undefined
      if (!next) return undefined
      path = path.child(name)
      at = next
    } else if (typeof at.additionalProperties === 'object') {
      path = path.key(name)
      at = at.additionalProperties
    } else return undefined
  }
  return String(path)
}
