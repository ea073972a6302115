/** How upstream tells what is wrong with an object after a strategic merge patch, which it makes of a Go map, not of JSON. */

/** Go's `%+v` of a value of JSON. */
export function goText(value: unknown): string {
  if (value === null || value === undefined) return '<nil>'
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`
  if (typeof value !== 'object') return String(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `map[${entries.map(([k, v]) => `${k}:${goText(v)}`).join(' ')}]`
}

const goKinds: Readonly<Record<string, string>> = { object: 'map', array: 'slice' }

/** A failure to decode JSON in the words of apimachinery's pkg/runtime/converter.go; others, of types that decode themselves, as they are. */
export function restoreError(message: string): string {
  const [, json, type] = /^json: cannot unmarshal (\w+)(?: \S+)? into Go struct field \S+ of type (.+)$/.exec(message) ?? []
  if (json === undefined || type === undefined) return message
  const number = json === 'number'
  const kind = number ? (/number \S*[.eE]/.test(message) ? 'float64' : 'int64') : (goKinds[json] ?? json)
  if (type.startsWith('map[')) return `cannot restore map from ${kind}`
  if (type.startsWith('[]')) return `cannot restore slice from ${kind}`
  if (type.includes('.')) return `cannot restore struct from: ${kind}`
  const convertible = number && (/^u?int|^float/.test(type) || (kind === 'int64' && type === 'string'))
  return convertible ? `cannot convert ${kind} to ${type}` : `unrecognized type: ${type}`
}
