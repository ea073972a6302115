/**
 * admissionregistration.k8s.io/v1 MutatingWebhookConfiguration.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
import { list, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { mutatingWebhookConfigurations } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { matchConditions, webhookFields } from './webhooks.ts'
import { defaultWebhook } from './webhookdefaults.ts'
import { validateWebhooks } from './webhookvalidation.ts'

const mutatingWebhookConfigurationSchema = obj(
  'io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration',
  'Webhooks that change objects.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    webhooks: opt(2, list(mutatingWebhook), {
      doc: 'The webhooks.',
      listType: 'map',
      listMapKeys: ['name'],
      mergeKey: 'name',
      patchStrategy: 'merge',
    }),
  }),
)
export type MutatingWebhookConfiguration = Stored<Infer<typeof mutatingWebhookConfigurationSchema>>
const mutatingWebhook = obj(
  'io.k8s.api.admissionregistration.v1.MutatingWebhook',
  'A webhook that may change objects, and when it is asked.',
  () => ({
    ...webhookFields(11),
    reinvocationPolicy: opt(10, str(['IfNeeded', 'Never']), {
      doc: 'Whether it is asked again when others change the object: Never or IfNeeded.',
      pointer: true,
    }),
    matchConditions: matchConditions(12),
  }),
)

export const mutatingWebhookConfiguration = resource<MutatingWebhookConfiguration>({
  ...mutatingWebhookConfigurations,
  schema: mutatingWebhookConfigurationSchema,
  singular: 'mutatingwebhookconfiguration',
  categories: ['api-extensions'],
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'Webhooks', type: 'integer', doc: 'How many webhooks it has', cell: c => c.webhooks?.length ?? 0 },
    ageColumn,
  ],
  defaults: c => {
    for (const webhook of c.webhooks ?? []) {
      defaultWebhook(webhook)
      webhook.reinvocationPolicy ??= 'Never'
    }
  },
  validate: (c, at) => validateWebhooks(c.webhooks ?? [], at.child('webhooks')),
})
