import fc from 'fast-check'
import { expect, it } from 'vitest'
import { pod, podSchema, type Pod } from '#shared/api/core/pod.ts'
import { podColumns } from '#shared/api/core/podspec/columns.ts'
import { podLimits, podRequests } from '#shared/api/core/podspec/resources.ts'
import { decodeValue } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { Path } from '#shared/machinery/field.ts'
import type { Field, Schema } from '#shared/machinery/schema.ts'

const text = fc.oneof(
  fc.constantFrom('', 'a', 'main', '/x', '../y', 'Always', 'None', 'Localhost', 'cpu', 'a/b/c', "metadata.labels['a']", 'iqn.x'),
  fc.string({ maxLength: 8 }),
)
const amount = fc.constantFrom('0', '1', '-1', '100m', '1.5Gi', '1e3', '0.0000001')

/** Any value of a type, as the wire may bring it: fields are left out, lists are empty, strings are odd. */
function anyOf(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case 'string':
      if (schema.format === 'quantity') return amount
      if (schema.format === 'date-time' || schema.format === 'micro-time') return fc.constant('2024-01-01T00:00:00Z')
      if (schema.format) return fc.constant('')
      return schema.enum ? fc.oneof(fc.constantFrom(...schema.enum), text) : text
    case 'integer':
    case 'number':
      return fc.constantFrom(0, 1, -1, 80, 65536, 2147483647)
    case 'boolean':
      return fc.boolean()
    case 'int-or-string':
      return fc.oneof(fc.constantFrom(0, 80, -5), text)
    case 'list':
      return fc.array(fc.oneof({ weight: 9, arbitrary: anyOf(schema.items, depth + 1) }, { weight: 1, arbitrary: fc.constant(null) }), {
        maxLength: depth > 5 ? 1 : 3,
      })
    case 'map':
      return fc.dictionary(
        fc.oneof(fc.constantFrom('cpu', 'memory', 'hugepages-2Mi', 'hugepages-x', 'example.com/a'), text),
        anyOf(schema.values, depth + 1),
        { maxKeys: 2 },
      )
    case 'object': {
      const fields = schema.fields as { [name: string]: Field }
      const known = Object.entries(fields).filter(([name]) => name !== 'managedFields')
      // Deep types have few of their many fields at a time.
      return fc
        .subarray(known, { maxLength: Math.min(known.length, 8) })
        .chain(some => fc.record(Object.fromEntries(some.map(([name, field]) => [name, anyOf(field.schema, depth + 1)]))))
    }
    default:
      return fc.constant({})
  }
}

it('nothing that decodes makes defaults, rules, columns or sums throw', () => {
  const body = fc.record({
    spec: anyOf(podSchema.fields.spec.schema, 1),
    status: anyOf(podSchema.fields.status.schema, 1),
    metadata: fc.constant({ name: 'a', resourceVersion: '1' }),
  })
  const read = (value: unknown): Pod => {
    const object = decodeValue(podSchema, value).object as Pod
    applyDefaults(podSchema, object)
    pod.defaults?.(object)
    return object
  }
  const ctx = (subresource: string) => ({ subresource, dryRun: false })
  fc.assert(
    fc.property(body, body, (a, b) => {
      const [now, old] = [read(a), read(b)]
      for (const subresource of ['', 'status', 'ephemeralcontainers', 'resize']) {
        const next = structuredClone(now)
        pod.prepareForUpdate?.(next, old, ctx(subresource))
        pod.validateUpdate?.(next, old, new Path(), ctx(subresource))
      }
      pod.validate?.(now, new Path())
      for (const column of podColumns) expect(typeof column.cell(now)).toBe('string')
      podRequests(now.spec)
      podLimits(now.spec)
      pod.prepareForCreate?.(now, ctx(''))
    }),
    { numRuns: 300 },
  )
})
