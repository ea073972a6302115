/**
 * apiextensions.k8s.io/v1 CustomResourceDefinition: a kind of the user's.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/
 */
import { bool, bytes, int32, int64, list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { nameIsDNSSubdomain } from '../../machinery/names.ts'
import { formatTime } from '../../machinery/time.ts'
import { nameColumn } from '../columns.ts'
import { customResourceDefinitions } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateDefinition, validateDefinitionName, validateDefinitionUpdate, validateNames } from './definitionvalidation.ts'
import { jsonSchemaProps } from './jsonschema.ts'
import { unknownFormats } from './schemavalidation.ts'

const customResourceDefinitionSchema = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
  'Defines a kind that the API server then serves.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: req(2, customResourceDefinitionSpec, { doc: 'The kind, and how it is served.', default: {} }),
    status: opt(3, customResourceDefinitionStatus, { doc: 'Whether it is served.', default: {} }),
  }),
)
export type CustomResourceDefinition = Stored<Infer<typeof customResourceDefinitionSchema>>
const customResourceDefinitionSpec = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec',
  'A kind, and how it is served.',
  () => ({
    group: req(1, str(), { doc: 'API group; the name of the definition is PLURAL.GROUP.', default: '' }),
    names: req(3, customResourceDefinitionNames, { doc: 'Names of the kind.', default: {} }),
    scope: req(4, str(), { doc: 'Cluster or Namespaced.', default: '' }),
    versions: req(7, list(customResourceDefinitionVersion), { doc: 'Versions that it is served in.', listType: 'atomic' }),
    conversion: opt(9, customResourceConversion, { doc: 'How objects become those of another version.' }),
    preserveUnknownFields: opt(10, bool(), { doc: 'Whether unknown fields are kept; only old definitions say so.', pointer: false }),
  }),
)
export type CustomResourceDefinitionSpec = Infer<typeof customResourceDefinitionSpec>
const customResourceDefinitionNames = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames',
  'Names of a kind.',
  () => ({
    plural: req(1, str(), { doc: 'Name in paths, lower case.', default: '' }),
    singular: opt(2, str(), { doc: 'Name of one, lower case; that of the kind when absent.' }),
    shortNames: opt(3, list(str()), { doc: 'Short names for command lines.', listType: 'atomic' }),
    kind: req(4, str(), { doc: 'Name of the kind, CamelCase.', default: '' }),
    listKind: opt(5, str(), { doc: 'Name of the kind of its lists; KINDList when absent.' }),
    categories: opt(6, list(str()), { doc: 'Groups of kinds that it belongs to, such as all.', listType: 'atomic' }),
  }),
)
export type CustomResourceDefinitionNames = Infer<typeof customResourceDefinitionNames>
const customResourceDefinitionVersion = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion',
  'A version of a kind.',
  () => ({
    name: req(1, str(), { doc: 'Name, such as v1 or v2beta1.', default: '' }),
    served: req(2, bool(), { doc: 'Whether it is served.' }),
    storage: req(3, bool(), { doc: 'Whether objects are stored in it; true for exactly one.' }),
    deprecated: opt(7, bool(), { doc: 'Whether clients are warned.', pointer: false }),
    deprecationWarning: opt(8, str(), { doc: 'The warning, in place of the usual one.', pointer: true }),
    schema: opt(4, customResourceValidation, { doc: 'What objects look like.' }),
    subresources: opt(5, customResourceSubresources, { doc: 'Which subresources there are.' }),
    additionalPrinterColumns: opt(6, list(customResourceColumnDefinition), { doc: 'Columns of tables.', listType: 'atomic' }),
    selectableFields: opt(9, list(selectableField), { doc: 'Fields for field selectors.', listType: 'atomic' }),
  }),
)
export type CustomResourceDefinitionVersion = Infer<typeof customResourceDefinitionVersion>
const customResourceValidation = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceValidation',
  'What objects look like.',
  () => ({
    openAPIV3Schema: opt(1, jsonSchemaProps, { doc: 'The schema.' }),
  }),
)
const customResourceSubresources = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresources',
  'Subresources of a kind.',
  () => ({
    status: opt(1, customResourceSubresourceStatus, { doc: 'Whether there is a status subresource.' }),
    scale: opt(2, customResourceSubresourceScale, { doc: 'The scale subresource.' }),
  }),
)
const customResourceSubresourceStatus = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus',
  'That there is a status subresource.',
  () => ({}),
)
const customResourceSubresourceScale = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceScale',
  'Where the scale subresource finds its values.',
  () => ({
    specReplicasPath: req(1, str(), { doc: 'Path of the wanted number, below .spec.', default: '' }),
    statusReplicasPath: req(2, str(), { doc: 'Path of the number there is, below .status.', default: '' }),
    labelSelectorPath: opt(3, str(), { doc: 'Path of the label selector as text.', pointer: true }),
  }),
)
export type CustomResourceSubresourceScale = Infer<typeof customResourceSubresourceScale>
const customResourceColumnDefinition = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceColumnDefinition',
  'A column of tables.',
  () => ({
    name: req(1, str(), { doc: 'Its title.', default: '' }),
    type: req(2, str(), { doc: 'boolean, date, integer, number or string.', default: '' }),
    format: opt(3, str(), { doc: 'Format of the values.' }),
    description: opt(4, str(), { doc: 'What it shows.' }),
    priority: opt(5, int32(), { doc: '0 shows always, more with -o wide.', pointer: false }),
    jsonPath: req(6, str(), { doc: 'Path of the value.', default: '' }),
  }),
)
export type CustomResourceColumnDefinition = Infer<typeof customResourceColumnDefinition>
const selectableField = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.SelectableField',
  'A field for field selectors.',
  () => ({
    jsonPath: req(1, str(), { doc: 'Its path.', default: '' }),
  }),
)
const customResourceConversion = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion',
  'How objects become those of another version.',
  () => ({
    strategy: req(1, str(), { doc: 'None or Webhook.', default: '' }),
    webhook: opt(2, webhookConversion, { doc: 'Who converts.' }),
  }),
)
const webhookConversion = obj('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion', 'Who converts.', () => ({
  clientConfig: opt(2, webhookClientConfig, { doc: 'Where it is reached.' }),
  conversionReviewVersions: req(3, list(str()), { doc: 'Versions of ConversionReview that it knows.', listType: 'atomic' }),
}))
export type WebhookConversion = Infer<typeof webhookConversion>
const webhookClientConfig = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookClientConfig',
  'Where a webhook is reached: a URL or a service.',
  () => ({
    url: opt(3, str(), { doc: 'An https URL.', pointer: true }),
    service: opt(1, serviceReference, { doc: 'A service of the cluster.' }),
    caBundle: opt(2, bytes(), { doc: 'Certificate authorities that its certificate is checked with; those of the system when absent.' }),
  }),
)
export type WebhookClientConfig = Infer<typeof webhookClientConfig>
const serviceReference = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference',
  'A port and path of a service.',
  () => ({
    namespace: req(1, str(), { doc: 'Namespace of the service.', default: '' }),
    name: req(2, str(), { doc: 'Name of the service.', default: '' }),
    path: opt(3, str(), { doc: 'Path of the requests.', pointer: true }),
    port: opt(4, int32(), { doc: 'Port of the service.' }),
  }),
)
export type ServiceReference = Infer<typeof serviceReference>
const customResourceDefinitionStatus = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus',
  'Whether a kind is served.',
  () => ({
    conditions: opt(1, list(customResourceDefinitionCondition), {
      doc: 'Observed aspects, such as Established.',
      listType: 'map',
      listMapKeys: ['type'],
    }),
    acceptedNames: opt(2, customResourceDefinitionNames, { doc: 'Names that it has; others may have been taken.', default: {} }),
    storedVersions: opt(3, list(str()), { doc: 'Versions that objects may be stored in.', listType: 'atomic' }),
    observedGeneration: opt(4, int64(), { doc: 'The metadata.generation that was acted upon.', pointer: false }),
  }),
)
const customResourceDefinitionCondition = obj(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionCondition',
  'One observed aspect of a definition.',
  () => ({
    type: req(1, str(), { doc: 'Name of the aspect.', default: '' }),
    status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
    lastTransitionTime: opt(3, time(), { doc: 'When status last changed.' }),
    reason: opt(4, str(), { doc: 'One word for why.' }),
    message: opt(5, str(), { doc: 'Why, for people.' }),
    observedGeneration: opt(6, int64(), { doc: 'The metadata.generation that it was computed from.', pointer: false }),
  }),
)

/** Is there while objects of a kind that is deleted may be. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io'
const pending = {
  reason: 'InstanceDeletionPending',
  message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
}

export const customResourceDefinition = resource<CustomResourceDefinition>({
  ...customResourceDefinitions,
  schema: customResourceDefinitionSchema,
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [nameColumn, { name: 'Created At', type: 'date', doc: 'When it was made', cell: d => d.metadata.creationTimestamp ?? '' }],
  validateName: nameIsDNSSubdomain,
  // It stays until an API server has emptied the kind.
  deletion: {
    steps: {
      begin: d => {
        d.metadata.finalizers = [...(d.metadata.finalizers ?? []).filter(f => f !== cleanupFinalizer), cleanupFinalizer]
        const status = (d.status ??= {})
        const others = (status.conditions ?? []).filter(c => c.type !== 'Terminating')
        const condition = { type: 'Terminating', status: 'True', lastTransitionTime: formatTime(), ...pending }
        status.conditions = [...others, condition]
      },
      pending: () => false,
    },
  },
  defaults: ({ spec }) => {
    const { names } = spec
    names.singular ||= names.kind.toLowerCase()
    if (names.kind) names.listKind ||= `${names.kind}List`
    spec.conversion ??= { strategy: 'None' }
    const service = spec.conversion.webhook?.clientConfig?.service
    if (service) service.port ??= 443
  },
  prepareForCreate: d => {
    d.status = { conditions: [], acceptedNames: { plural: '', kind: '' }, storedVersions: storageVersions(d) }
  },
  prepareForUpdate: (d, _old, ctx) => {
    if (ctx.subresource !== '' || !d.status) return
    const stored = d.status.storedVersions ?? []
    d.status.storedVersions = [...stored, ...storageVersions(d).filter(v => !stored.includes(v))]
  },
  warnings: (d, old) => {
    const before = old ? formatsOf(old) : new Set()
    return [...formatsOf(d)].filter(format => !before.has(format)).map(format => `unrecognized format ${JSON.stringify(format)}`)
  },
  validate: validateDefinition,
  validateCreate: validateDefinitionName,
  validateUpdate: (d, old, at, ctx) =>
    ctx.subresource === 'status'
      ? validateNames(d.status?.acceptedNames ?? { plural: '', kind: '' }, at.child('status', 'acceptedNames'))
      : validateDefinitionUpdate(d, old, at),
})

const formatsOf = ({ spec }: CustomResourceDefinition): ReadonlySet<string> =>
  unknownFormats((spec.versions ?? []).map(v => v.schema?.openAPIV3Schema))

function storageVersions({ spec }: CustomResourceDefinition): string[] {
  return (spec.versions ?? []).filter(v => v.storage).map(v => v.name)
}
