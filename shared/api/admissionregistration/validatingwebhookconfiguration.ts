/**
 * admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
import { list, obj, opt, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { validatingWebhookConfigurations } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { matchConditions, webhookFields } from './webhooks.ts'
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
    ...webhookFields(10),
    matchConditions: matchConditions(11),
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
