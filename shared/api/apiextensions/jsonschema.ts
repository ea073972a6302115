/**
 * JSONSchemaProps of apiextensions.k8s.io/v1: the schema of a custom kind.
 */
import { bool, double, either, int64, json, list, map, obj, opt, req, str, type ObjectSchema } from '../../machinery/schema.ts'

// any: a schema holds schemas, so that its type cannot be inferred; the rules look at each value.
export const jsonSchemaProps: ObjectSchema<any> = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps',
  'A schema of values.',
  () => ({
    id: opt(1, str(), { doc: 'Not used.' }),
    $schema: opt(2, str(), { doc: 'Not used.' }),
    $ref: opt(3, str(), { doc: 'Not allowed.', pointer: true }),
    description: opt(4, str(), { doc: 'What the value is.' }),
    type: opt(5, str(), { doc: 'object, array, string, integer, number or boolean.' }),
    format: opt(6, str(), { doc: 'Format of the value, such as date-time.' }),
    title: opt(7, str(), { doc: 'A title.' }),
    default: opt(8, json(), { doc: 'The value when none is there.' }),
    maximum: opt(9, double(), { doc: 'The most that a number may be.' }),
    exclusiveMaximum: opt(10, bool(), { doc: 'Whether it must be less than that.', pointer: false }),
    minimum: opt(11, double(), { doc: 'The least that a number may be.' }),
    exclusiveMinimum: opt(12, bool(), { doc: 'Whether it must be more than that.', pointer: false }),
    maxLength: opt(13, int64(), { doc: 'The most characters.' }),
    minLength: opt(14, int64(), { doc: 'The fewest characters.' }),
    pattern: opt(15, str(), { doc: 'What a text must match.' }),
    maxItems: opt(16, int64(), { doc: 'The most items.' }),
    minItems: opt(17, int64(), { doc: 'The fewest items.' }),
    uniqueItems: opt(18, bool(), { doc: 'Not allowed.', pointer: false }),
    multipleOf: opt(19, double(), { doc: 'What a number must be a multiple of.' }),
    enum: opt(20, list(json()), { doc: 'The values that there are.', listType: 'atomic' }),
    maxProperties: opt(21, int64(), { doc: 'The most properties.' }),
    minProperties: opt(22, int64(), { doc: 'The fewest properties.' }),
    required: opt(23, list(str()), { doc: 'Properties that must be there.', listType: 'atomic' }),
    items: opt(
      24,
      either(() => jsonSchemaProps, 'list'),
      { doc: 'Schema of the items.' },
    ),
    allOf: opt(25, list(jsonSchemaProps), { doc: 'Schemas that must all fit.', listType: 'atomic' }),
    oneOf: opt(26, list(jsonSchemaProps), { doc: 'Schemas of which one must fit.', listType: 'atomic' }),
    anyOf: opt(27, list(jsonSchemaProps), { doc: 'Schemas of which some must fit.', listType: 'atomic' }),
    not: opt(28, jsonSchemaProps, { doc: 'A schema that must not fit.' }),
    properties: opt(29, map(jsonSchemaProps), { doc: 'Schemas of the properties.' }),
    additionalProperties: opt(
      30,
      either(() => jsonSchemaProps, 'boolean'),
      { doc: 'Schema of all properties of a map, or whether there may be any.' },
    ),
    patternProperties: opt(31, map(jsonSchemaProps), { doc: 'Not allowed.' }),
    dependencies: opt(32, map(either(() => jsonSchemaProps, 'strings')), { doc: 'Not allowed.' }),
    additionalItems: opt(
      33,
      either(() => jsonSchemaProps, 'boolean'),
      { doc: 'Not allowed.' },
    ),
    definitions: opt(34, map(jsonSchemaProps), { doc: 'Not allowed.' }),
    externalDocs: opt(35, externalDocumentation, { doc: 'Documentation elsewhere.' }),
    example: opt(36, json(), { doc: 'An example.' }),
    nullable: opt(37, bool(), { doc: 'Whether null is a value.', pointer: false }),
    'x-kubernetes-preserve-unknown-fields': opt(38, bool(), { doc: 'Keeps properties that the schema does not have.' }),
    'x-kubernetes-embedded-resource': opt(39, bool(), {
      doc: 'That the value is a whole object with kind, apiVersion and metadata.',
      pointer: false,
    }),
    'x-kubernetes-int-or-string': opt(40, bool(), { doc: 'That the value is a number or a text.', pointer: false }),
    'x-kubernetes-list-map-keys': opt(41, list(str()), { doc: 'Properties that tell items apart.', listType: 'atomic' }),
    'x-kubernetes-list-type': opt(42, str(), { doc: 'How lists merge: atomic, set or map.', pointer: true }),
    'x-kubernetes-map-type': opt(43, str(), { doc: 'How objects merge: granular or atomic.', pointer: true }),
    'x-kubernetes-validations': opt(44, list(validationRule), {
      doc: 'Rules in CEL.',
      listType: 'map',
      listMapKeys: ['rule'],
      mergeKey: 'rule',
      patchStrategy: 'merge',
    }),
  }),
)

const externalDocumentation = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ExternalDocumentation',
  'Documentation elsewhere.',
  () => ({
    description: opt(1, str(), { doc: 'What it is about.' }),
    url: opt(2, str(), { doc: 'Where it is.' }),
  }),
)
const validationRule = obj('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule', 'A rule in CEL.', () => ({
  rule: req(1, str(), { doc: 'The rule.', default: '' }),
  message: opt(2, str(), { doc: 'What is said when it is broken.' }),
  messageExpression: opt(3, str(), { doc: 'The same as a CEL expression.' }),
  reason: opt(4, str(['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired']), {
    doc: 'Why a request fails.',
    pointer: true,
  }),
  fieldPath: opt(5, str(), { doc: 'The field that is blamed.' }),
  optionalOldSelf: opt(6, bool(), { doc: 'Whether it is judged though there is no old value.' }),
}))
