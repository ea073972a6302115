/** JSON values: copies of them, and objects whose keys come from outside. */

/** A copy. structuredClone does the same many times slower, since it must be ready for anything. Fields that are undefined stay away. */
export function clone<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(clone) as T
  const out = {}
  for (const [name, field] of Object.entries(value)) if (field !== undefined) setOwn(out, name, clone(field))
  return out as T
}

/** Sets an own property whatever its name: a plain assignment to `__proto__` would change the prototype. */
export function setOwn(object: object, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else (object as Record<string, unknown>)[key] = value
}

/** The own property of that name, or undefined. */
export const getOwn = (object: object, key: string): unknown =>
  Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined
