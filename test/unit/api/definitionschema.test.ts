import { expect, it } from 'vitest'
import { validateRootSchema, type Schema } from '#shared/api/apiextensions/schemavalidation.ts'
import { Path } from '#shared/machinery/field.ts'

const object = (properties: Record<string, Schema>, more: Schema = {}): Schema => ({ type: 'object', properties, ...more })
const embedded = (properties: Record<string, Schema>, more: Schema = {}): Schema =>
  object(properties, { 'x-kubernetes-embedded-resource': true, ...more })
const text = { type: 'string' }
const nested = 'must not be specified in a nested context'

it.each<[what: string, schema: Schema, errors: string[]]>([
  ['kind of another type', object({ kind: { type: 'number' } }), ['properties[kind].type: Invalid value: "number": must be string']],
  [
    'more of metadata than names',
    object({ metadata: object({ name: text, labels: { type: 'object', additionalProperties: text } }) }),
    ['properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified'],
  ],
  ['names', object({ metadata: object({ name: { type: 'string', pattern: '^a' }, generateName: text }) }), []],
  ['all of metadata of what is embedded', object({ o: embedded({ metadata: object({ labels: { type: 'object' } }) }) }), []],
  [
    'metadata of another type',
    object({ o: embedded({ metadata: text }) }),
    ['properties[o].properties[metadata].type: Invalid value: "string": must be object'],
  ],
  [
    'embedded objects with other fields',
    object({
      o: {
        type: 'object',
        'x-kubernetes-embedded-resource': true,
        additionalProperties: text,
        'x-kubernetes-preserve-unknown-fields': true,
      },
    }),
    ['properties[o].additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set'],
  ],
  [
    'embedded objects in metadata',
    object({ o: embedded({ metadata: object({ x: embedded({ a: text }) }) }) }),
    [
      'properties[o].properties[metadata].properties[x].x-kubernetes-embedded-resource: Forbidden: must not be used inside of resource meta',
    ],
  ],
  [
    'defaults of metadata',
    object({ metadata: object({ name: { ...text, default: 'a' } }) }),
    ['properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata'],
  ],
  [
    'what keeps values, below a combination',
    object({ a: { ...text, anyOf: [{ description: 'x', default: 'y', nullable: true, 'x-kubernetes-validations': [{ rule: 'true' }] }] } }),
    [
      'properties[a].anyOf[0].description: Forbidden: must be empty to be structural',
      'properties[a].anyOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural',
      'properties[a].anyOf[0].default: Forbidden: must be undefined to be structural',
      'properties[a].anyOf[0].nullable: Forbidden: must be false to be structural',
    ],
  ],
  [
    'metadata, below a combination',
    object({ metadata: { type: 'object' } }, { not: { properties: { metadata: {} } } }),
    [`not.properties[metadata]: Forbidden: ${nested}`],
  ],
  ['an int-or-string with a type', object({ a: { 'x-kubernetes-int-or-string': true, type: 'string' } }), []],
  ['the types of an int-or-string', object({ a: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, text] } }), []],
  [
    'other types, below a combination',
    object({ a: { 'x-kubernetes-int-or-string': true, anyOf: [text] } }),
    ['properties[a].anyOf[0].type: Forbidden: must be empty to be structural'],
  ],
  [
    'fields that only a combination knows',
    object({ a: text }, { anyOf: [{ required: ['a'] }, { properties: { b: { minLength: 1 } } }] }),
    ['properties[b]: Required value: because it is defined in anyOf[1].properties[b]'],
  ],
  [
    'sets of sets',
    object({
      l: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'array', 'x-kubernetes-list-type': 'set', items: text } },
    }),
    ['properties[l].items.x-kubernetes-list-type: Invalid value: "set": must be atomic as item of a list with x-kubernetes-list-type=set'],
  ],
  [
    'sets that may hold null',
    object({ l: { type: 'array', 'x-kubernetes-list-type': 'set', items: { ...text, nullable: true } } }),
    ['properties[l].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set'],
  ],
  [
    'defaults of embedded objects',
    object({ o: embedded({ a: text }, { default: { a: 'x', kind: 'K', metadata: { name: 'Not' } } }) }),
    ['properties[o].default.apiVersion: Required value: must not be empty'],
  ],
  [
    'defaults in the metadata of embedded objects',
    object({ o: embedded({ kind: { ...text, default: 'not a kind' }, metadata: object({ labels: { type: 'object', default: 1 } }) }) }),
    [
      expect.stringContaining('properties[o].properties[kind].default: Invalid value: "not a kind": must result in valid metadata: kind: '),
      expect.stringContaining(
        'properties[o].properties[metadata].properties[labels].default: Invalid value: 1: must result in valid metadata: metadata: ',
      ),
    ],
  ],
])('%s', (_, schema, errors) => {
  expect(validateRootSchema(schema, new Path(''), false).map(e => `${e.field}: ${e.message}`)).toEqual(errors)
})
