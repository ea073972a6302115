/**
 * Rules of apiextensions.k8s.io/v1 CustomResourceDefinition (pkg/apis/apiextensions/validation). CEL rules must be there; they are not
 * looked into. What all versions have in common is reported at the top of the spec, where upstream keeps it.
 */
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import type { JsonSchema } from '../../machinery/structural/schema.ts'
import { isDNS1035Label, isDNS1123Subdomain } from '../../machinery/names.ts'
import { validateReviewVersions } from '../admissionregistration/webhookvalidation.ts'
import { validateClientConfig } from '../admissionregistration/webhookclientvalidation.ts'
import { unreadableBundle } from './cabundle.ts'
import { approvalAnnotation, approvalOf } from './approval.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionVersion,
} from './customresourcedefinition.ts'
import { validateRootSchema } from './schemavalidation.ts'

const joined = (messages: string[], at: Path, value: unknown, before = ''): FieldError[] =>
  messages.length === 0 ? [] : [invalid(at, value, before + messages.join(','))]

export const validateDefinition = ({ metadata, spec, status }: CustomResourceDefinition, at: Path): FieldError[] => [
  ...validateSpec(spec, at.child('spec')),
  ...validateApproval(metadata.annotations, spec.group ?? '', at),
  ...validateStoredVersions(status?.storedVersions ?? [], spec.versions ?? [], at.child('status', 'storedVersions')),
]

export const validateDefinitionName = ({ metadata: { name }, spec }: CustomResourceDefinition, at: Path): FieldError[] =>
  !name || name === `${spec.names?.plural ?? ''}.${spec.group ?? ''}`
    ? []
    : [invalid(at.child('metadata', 'name'), name, 'must be spec.names.plural+"."+spec.group')]

/** What keeps the objects that are stored from being lost; the name stays anyway. */
export function validateDefinitionUpdate({ spec }: CustomResourceDefinition, old: CustomResourceDefinition, at: Path): FieldError[] {
  const here = at.child('spec')
  const errors = [
    ...validateImmutable(spec.group, old.spec.group, here.child('group')),
    ...validateImmutable(spec.names?.plural, old.spec.names?.plural, here.child('names', 'plural')),
  ]
  if (!old.status?.conditions?.some(c => c.type === 'Established' && c.status === 'True')) return errors
  return [
    ...errors,
    ...validateBundle(spec, old.spec, here.child('conversion', 'webhookClientConfig', 'caBundle')),
    ...validateImmutable(spec.scope, old.spec.scope, here.child('scope')),
    ...validateImmutable(spec.names?.kind, old.spec.names?.kind, here.child('names', 'kind')),
  ]
}

/** Before it is Established a bundle may be wrong, and one that is wrong may stay so. */
function validateBundle({ conversion }: CustomResourceDefinitionSpec, old: CustomResourceDefinitionSpec, at: Path): FieldError[] {
  if (conversion?.strategy !== 'Webhook' || unreadableBundle(old.conversion?.webhook?.clientConfig?.caBundle) !== undefined) return []
  const bundle = conversion.webhook?.clientConfig?.caBundle
  const why = unreadableBundle(bundle)
  return why === undefined ? [] : [invalid(at, bundle, why)]
}

const scopes = ['Cluster', 'Namespaced']

function validateSpec(spec: CustomResourceDefinitionSpec, at: Path): FieldError[] {
  const { group = '', scope = '', names, versions = [] } = spec
  const groupAt = at.child('group')
  const badGroup = isDNS1123Subdomain(group)
  const errors: FieldError[] = []
  if (group === '') errors.push(required(groupAt))
  else if (badGroup.length > 0) errors.push(...joined(badGroup, groupAt, group))
  else if (!group.includes('.')) errors.push(invalid(groupAt, group, 'should be a domain with at least one dot'))
  if (scope === '') errors.push(required(at.child('scope')))
  else if (!scopes.includes(scope)) errors.push(notSupported(at.child('scope'), scope, scopes))
  const versionsAt = at.child('versions')
  versions.forEach((v, i) => {
    if (!v.schema?.openAPIV3Schema) errors.push(required(versionsAt.index(i).child('schema', 'openAPIV3Schema'), 'schemas are required'))
    errors.push(...joined(isDNS1035Label(v.name ?? ''), versionsAt.index(i).child('name'), v.name ?? ''))
    errors.push(...validateDeprecation(v, versionsAt.index(i).child('deprecationWarning')))
  })
  // Upstream has a field for the name of the first version, too.
  if (versions[0]?.name) errors.push(...joined(isDNS1035Label(versions[0].name), at.child('version'), versions[0].name))
  errors.push(...validateVersions(versions, at))
  if (new Set(versions.map(v => v.name)).size < versions.length)
    errors.push(invalid(versionsAt, versions, 'must contain unique version names'))
  if (versions.filter(v => v.storage).length !== 1)
    errors.push(invalid(versionsAt, spec.versions ?? null, 'must have exactly one version marked as storage version'))
  for (const field of ['plural', 'singular', 'kind', 'listKind'] as const)
    if (!names?.[field]) errors.push(required(at.child('names', field)))
  if (names) errors.push(...validateNames(names, at.child('names')))
  errors.push(...validateConversion(spec.conversion, at.child('conversion')))
  if (spec.preserveUnknownFields)
    errors.push(
      invalid(
        at.child('preserveUnknownFields'),
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    )
  return errors
}

/** Schemas, subresources and columns: once at the top when they are the same in all versions, else in each. */
function validateVersions(versions: readonly CustomResourceDefinitionVersion[], at: Path): FieldError[] {
  const [first] = versions
  if (!first) return []
  const shared = (field: 'schema' | 'subresources' | 'additionalPrinterColumns'): boolean =>
    first[field] !== undefined && versions.every(v => semanticEqual(v[field], first[field]))
  const errors: FieldError[] = []
  const each = (
    field: 'schema' | 'subresources' | 'additionalPrinterColumns',
    top: string,
    rules: (v: CustomResourceDefinitionVersion, at: Path) => FieldError[],
  ): void => {
    if (shared(field)) errors.push(...rules(first, at.child(top)))
    else versions.forEach((v, i) => errors.push(...rules(v, at.child('versions').index(i).child(field))))
  }
  each('schema', 'validation', (v, path) =>
    v.schema?.openAPIV3Schema
      ? validateRootSchema(v.schema.openAPIV3Schema, path.child('openAPIV3Schema'), v.subresources?.status !== undefined)
      : [],
  )
  each('subresources', 'subresources', validateScale)
  each('additionalPrinterColumns', 'additionalPrinterColumns', (v, path) =>
    (v.additionalPrinterColumns ?? []).flatMap((c, i) => validateColumn(c, path.index(i))),
  )
  versions.forEach((v, i) => errors.push(...validateSelectableFields(v, at.child('versions').index(i).child('selectableFields'))))
  return errors
}

function validateDeprecation({ deprecated, deprecationWarning: text }: CustomResourceDefinitionVersion, at: Path): FieldError[] {
  if (text === undefined) return []
  if (!deprecated) return [invalid(at, text, 'can only be set for deprecated versions')]
  const errors: FieldError[] = []
  if (Buffer.byteLength(text) > 256) errors.push(invalid(at, text, 'must be <= 256 characters long'))
  if (text === '') errors.push(invalid(at, text, 'must not be an empty string'))
  const bad = /[^\P{C} ]|[\p{Z}--[ ]]/v.exec(text)
  if (bad)
    errors.push(
      invalid(
        at,
        text,
        `must only contain printable UTF-8 characters; non-printable character found at index ${Buffer.byteLength(text.slice(0, bad.index))}`,
      ),
    )
  return errors
}

export function validateNames(names: CustomResourceDefinitionNames, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const field of ['plural', 'singular'] as const)
    if (names[field]) errors.push(...joined(isDNS1035Label(names[field]), at.child(field), names[field]))
  for (const field of ['kind', 'listKind'] as const)
    if (names[field])
      errors.push(
        ...joined(
          isDNS1035Label(names[field].toLowerCase()),
          at.child(field),
          names[field],
          'may have mixed case, but should otherwise match: ',
        ),
      )
  if (names.kind && names.kind === names.listKind)
    errors.push(invalid(at.child('listKind'), names.listKind, 'kind and listKind may not be the same'))
  for (const field of ['shortNames', 'categories'] as const)
    names[field]?.forEach((name, i) => errors.push(...joined(isDNS1035Label(name), at.child(field).index(i), name)))
  return errors
}

/** A path of names with dots. */
const jsonPath = (path: string, at: Path): FieldError[] =>
  path.startsWith('.') ? [] : [invalid(at, path, 'must be a simple json path starting with .')]

function validateScale({ subresources }: CustomResourceDefinitionVersion, at: Path): FieldError[] {
  const scale = subresources?.scale
  if (!scale) return []
  const below = (field: 'specReplicasPath' | 'statusReplicasPath', root: string): FieldError[] => {
    const here = at.child(`scale.${field}`)
    const path = scale[field]
    if (!path) return [required(here)]
    const bad = jsonPath(path, here)
    return bad.length > 0 || path.startsWith(`${root}.`) ? bad : [invalid(here, path, `should be a json path under ${root}`)]
  }
  const errors = [...below('specReplicasPath', '.spec'), ...below('statusReplicasPath', '.status')]
  const selector = scale.labelSelectorPath
  const here = at.child('scale.labelSelectorPath')
  if (!selector) return errors
  const bad = jsonPath(selector, here)
  if (bad.length > 0) return [...errors, ...bad]
  return /^\.(spec|status)\./.test(selector)
    ? errors
    : [...errors, invalid(here, selector, 'should be a json path under either .spec or .status')]
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string']
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password']

function validateColumn({ name, type, format, jsonPath: path }: CustomResourceColumnDefinition, at: Path): FieldError[] {
  const errors = name ? [] : [required(at.child('name'))]
  const types = `must be one of ${columnTypes.join(',')}`
  if (!type) errors.push(required(at.child('type'), types))
  else if (!columnTypes.includes(type)) errors.push(invalid(at.child('type'), type, types))
  if (format && !columnFormats.includes(format))
    errors.push(invalid(at.child('format'), format, `must be one of ${columnFormats.join(',')}`))
  return [...errors, ...(path ? jsonPath(path, at.child('JSONPath')) : [required(at.child('JSONPath'))])]
}

const maxSelectableFields = 8
const selectableTypes = ['string', 'boolean', 'integer']
function validateSelectableFields({ selectableFields: fields = [], schema }: CustomResourceDefinitionVersion, at: Path): FieldError[] {
  const root = schema?.openAPIV3Schema as JsonSchema | undefined
  if (fields.length === 0 || !root) return []
  const seen = new Set<string>()
  const errors = fields.flatMap(({ jsonPath: path }, i): FieldError[] => {
    const here = at.index(i).child('jsonPath')
    if (!path) return [required(here)]
    const found = schemaAt(root, path)
    if (typeof found === 'string') return [invalid(here, path, `is an invalid path: ${found}`)]
    const wrong: FieldError[] = []
    if (/^\.metadata(\.|$)/.test(path)) wrong.push(invalid(here, path, 'must not point to fields in metadata'))
    if (!selectableTypes.includes(found.type ?? ''))
      wrong.push(
        invalid(
          here,
          path,
          'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        ),
      )
    if (seen.has(path)) wrong.push(duplicate(here, path))
    seen.add(path)
    return wrong
  })
  const many = `Too many: ${seen.size}: must have at most ${maxSelectableFields} items`
  return seen.size > maxSelectableFields
    ? [...errors, { ...invalid(at, '', ''), reason: 'FieldValueTooMany' as const, message: many }]
    : errors
}

/** The schema of a field that a path of names leads to, or what is wrong with the path. */
function schemaAt(root: JsonSchema, path: string): JsonSchema | string {
  if (!path.startsWith('.')) return `expected [ or . but got: ${/^[^.[\]]+|^./.exec(path)?.[0] ?? ''}`
  let at = root
  for (const name of path.slice(1).split('.')) {
    const { properties = {} } = at
    if (!Object.hasOwn(properties, name)) return 'does not refer to a valid field'
    at = properties[name]!
  }
  return at
}

const strategies = ['None', 'Webhook']
function validateConversion(conversion: CustomResourceDefinitionSpec['conversion'], at: Path): FieldError[] {
  if (!conversion) return []
  const { strategy, webhook } = conversion
  if (!strategy) return [required(at.child('strategy'))]
  const errors = strategies.includes(strategy) ? [] : [notSupported(at.child('strategy'), strategy, strategies)]
  const clientAt = at.child('webhookClientConfig')
  const versionsAt = at.child('conversionReviewVersions')
  if (strategy === 'Webhook') {
    if (!webhook?.clientConfig) errors.push(required(clientAt, 'required when strategy is set to Webhook'))
    else errors.push(...validateClientConfig(webhook.clientConfig, clientAt))
    return [...errors, ...validateReviewVersions(webhook?.conversionReviewVersions ?? [], versionsAt)]
  }
  const why = 'should not be set when strategy is not set to Webhook'
  if (webhook?.clientConfig) errors.push(forbidden(clientAt, why))
  if (webhook?.conversionReviewVersions?.length) errors.push(forbidden(versionsAt, why))
  return errors
}

function validateStoredVersions(
  stored: readonly string[],
  versions: readonly { name: string; storage: boolean }[],
  at: Path,
): FieldError[] {
  if (stored.length === 0) return [invalid(at, null, 'must have at least one stored version')]
  const left = new Set(stored)
  const errors: FieldError[] = []
  for (const { name, storage } of versions) {
    if (storage && !left.has(name)) errors.push(invalid(at, stored, `must have the storage version ${name}`))
    left.delete(name)
  }
  stored.forEach((name, i) => {
    if (left.has(name))
      errors.push(
        invalid(
          at.index(i),
          name,
          `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage ` +
            `migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
        ),
      )
  })
  return errors
}

/** Groups of Kubernetes' own need a link to the approval of their API. */
function validateApproval(annotations: { readonly [key: string]: string } | undefined, group: string, at: Path): FieldError[] {
  const approval = approvalOf(group, annotations)
  const here = at.child('metadata', 'annotations').key(approvalAnnotation)
  if (approval?.reason === 'MissingAnnotation') return [required(here, approval.message)]
  return approval?.reason === 'InvalidAnnotation' ? [invalid(here, annotations?.[approvalAnnotation], approval.message)] : []
}
