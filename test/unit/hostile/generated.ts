/** Objects made up from a schema: mostly of the right types, with values at the edges, now and then something wrong. */
import type { Field, ObjectSchema, Schema } from '#shared/machinery/schema.ts'

export type Random = () => number

/** mulberry32: numbers from 0 to 1 that a seed decides. */
export function randomOf(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
export const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)]!

const texts = [
  '',
  'a',
  'b',
  'a-b',
  'example.com/a',
  'A_b',
  '-',
  '.',
  '..',
  '/',
  '/a',
  '../b',
  '%',
  '*',
  '1',
  '-1',
  '0',
  ' ',
  'ü',
  '\u0000',
  '__proto__',
  'constructor',
  'a'.repeat(64),
  'x'.repeat(300),
  'http',
  'TCP',
  'Always',
  'In',
  'Exists',
  '10.0.0.1',
  '::1',
  '10.0.0.0/8',
  '100%',
  'kubernetes.io/x',
  'pods',
  'cpu',
  'v1',
  'apps/v1',
  '*/5 * * * *',
]
const quantities = ['0', '1', '-1', '100m', '1.5', '1Gi', '1e3', '9223372036854775807', '1e30', '0.0000000001', '64Mi']
const times = ['2026-01-01T00:00:00Z', '1970-01-01T00:00:00.000000Z', '9999-12-31T23:59:59Z']
const integers = [0, 1, -1, 2, 80, 65535, 65536, 2147483647, -2147483648, 1000000]
const keys = [
  'a',
  'cpu',
  'memory',
  'pods',
  'requests.cpu',
  'limits.memory',
  'count/pods',
  'example.com/gpu',
  'hugepages-2Mi',
  'storage',
  '',
  '__proto__',
  'toString',
  'a b',
  'k'.repeat(70),
]
const wrong: readonly unknown[] = [null, '', 0, -1, 1e300, true, [], {}, [null], [[]], [{}], 'a']
/** Deeper than this nothing is filled in. */
const maxDepth = 9

export function generate(schema: Schema, random: Random, depth = 0): unknown {
  if (random() < 0.01) return pick(random, wrong)
  switch (schema.type) {
    case 'string':
      return text(schema, random)
    case 'int-or-string':
      return random() < 0.5 ? pick(random, integers) : pick(random, texts)
    case 'integer':
      return pick(random, integers)
    case 'number':
      return pick(random, [...integers, 0.5, 1e300])
    case 'boolean':
      return random() < 0.5
    case 'any':
      return pick(random, wrong)
    case 'list':
      return Array.from({ length: depth > maxDepth ? 0 : Math.floor(random() * 3) }, () => generate(schema.items, random, depth + 1))
    case 'map':
      return entries(Math.floor(random() * 3), () => [pick(random, keys), generate(schema.values, random, depth + 1)])
    default:
      return object(schema, random, depth)
  }
}

function text(schema: Schema & { type: 'string' }, random: Random): string {
  if (schema.format === 'quantity') return pick(random, quantities)
  if (schema.format === 'date-time' || schema.format === 'micro-time') return pick(random, times)
  if (schema.format === 'byte') return pick(random, ['', 'YQ==', 'a'])
  if (schema.format === 'duration') return pick(random, ['0s', '1m', '-1h', '1h30m'])
  return schema.enum && random() < 0.9 ? pick(random, schema.enum) : pick(random, texts)
}

function object(schema: ObjectSchema, random: Random, depth: number): unknown {
  const chance = depth === 0 ? 0.95 : depth < 3 ? 0.6 : 0.25
  const fields = Object.entries(schema.fields as Record<string, Field>).filter(
    ([, f]) => random() < (f.optional ? chance : 0.95) && (depth <= maxDepth || f.schema.type !== 'object'),
  )
  return Object.fromEntries(fields.map(([name, f]) => [name, generate(f.schema, random, depth + 1)]))
}

/** As JSON.parse makes it: `__proto__` is a key like any other. */
function entries(count: number, make: () => [string, unknown]): unknown {
  const made = Array.from({ length: count }, make)
  return JSON.parse(`{${made.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v) ?? 'null'}`).join(',')}}`)
}
