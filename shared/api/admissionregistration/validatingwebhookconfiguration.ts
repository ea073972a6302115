/**
 * admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
import { int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { validatingWebhookConfigurations } from '../kinds.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { matchCondition, ruleWithOperations, webhookClientConfig } from './webhooks.ts'
import { defaultWebhook } from './webhookdefaults.ts'
import { validateWebhooks } from './webhookvalidation.ts'

const validatingWebhookConfigurationSchema = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration',
  'Webhooks that judge requests.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    webhooks: opt(2, list(validatingWebhook), {
      doc: 'The webhooks.',
      listType: 'map',
      listMapKeys: ['name'],
      mergeKey: 'name',
      patchStrategy: 'merge',
    }),
  }),
)
export type ValidatingWebhookConfiguration = Stored<Infer<typeof validatingWebhookConfigurationSchema>>
const validatingWebhook = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingWebhook',
  'A webhook that judges requests, and when it is asked.',
  () => ({
    name: req(1, str(), { doc: 'Name with a domain, unique in the configuration.', default: '' }),
    clientConfig: req(2, webhookClientConfig, { doc: 'Where it is reached.', default: {} }),
    rules: opt(3, list(ruleWithOperations), { doc: 'Which requests it is asked about.', listType: 'atomic' }),
    failurePolicy: opt(4, str(['Fail', 'Ignore']), { doc: 'What becomes of a request when it fails: Fail or Ignore.', pointer: true }),
    matchPolicy: opt(9, str(['Equivalent', 'Exact']), {
      doc: 'Whether rules match other versions of a resource as well: Equivalent or Exact.',
      pointer: true,
    }),
    namespaceSelector: opt(5, labelSelector, { doc: 'In which namespaces it is asked.' }),
    objectSelector: opt(10, labelSelector, { doc: 'About which objects it is asked.' }),
    sideEffects: req(6, str(['None', 'NoneOnDryRun', 'Some', 'Unknown']), {
      doc: 'Whether asking has other effects: None or NoneOnDryRun.',
      pointer: true,
    }),
    timeoutSeconds: opt(7, int32(), { doc: 'How long it may take; 1 to 30.' }),
    admissionReviewVersions: req(8, list(str()), {
      doc: 'Versions of AdmissionReview that it knows; the first that the server knows is used.',
      listType: 'atomic',
    }),
    matchConditions: opt(11, list(matchCondition), {
      doc: 'CEL conditions that a request must meet.',
      listType: 'map',
      listMapKeys: ['name'],
      mergeKey: 'name',
      patchStrategy: 'merge',
    }),
  }),
)
export type ValidatingWebhook = Infer<typeof validatingWebhook>

export const validatingWebhookConfiguration = resource<ValidatingWebhookConfiguration>({
  ...validatingWebhookConfigurations,
  schema: validatingWebhookConfigurationSchema,
  singular: 'validatingwebhookconfiguration',
  categories: ['api-extensions'],
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'Webhooks', type: 'integer', doc: 'How many webhooks it has', cell: c => c.webhooks?.length ?? 0 },
    ageColumn,
  ],
  defaults: c => {
    for (const webhook of c.webhooks ?? []) defaultWebhook(webhook)
  },
  validate: (c, at) => validateWebhooks(c.webhooks ?? [], at.child('webhooks')),
})
