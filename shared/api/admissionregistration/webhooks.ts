/** What the two kinds of webhook configurations of admissionregistration.k8s.io/v1 share with each other and with policies. */
import { bytes, inline, int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import type { ValidatingWebhook } from './validatingwebhookconfiguration.ts'

export const webhookClientConfig = obj(
  'io.k8s.api.admissionregistration.v1.WebhookClientConfig',
  'Where a webhook is reached: a URL or a service.',
  () => ({
    url: opt(3, str(), { doc: 'An https URL.', pointer: true }),
    service: opt(1, serviceReference, { doc: 'A service of the cluster.' }),
    caBundle: opt(2, bytes(), { doc: 'Certificate authorities that its certificate is checked with; those of the system when absent.' }),
  }),
)
export type WebhookClientConfig = Infer<typeof webhookClientConfig>
export const serviceReference = obj('io.k8s.api.admissionregistration.v1.ServiceReference', 'A port and path of a service.', () => ({
  namespace: req(1, str(), { doc: 'Namespace of the service.', default: '' }),
  name: req(2, str(), { doc: 'Name of the service.', default: '' }),
  path: opt(3, str(), { doc: 'Path of the requests.', pointer: true }),
  port: opt(4, int32(), { doc: 'Port of the service.' }),
}))
export type ServiceReference = Infer<typeof serviceReference>
const rule = obj('io.k8s.api.admissionregistration.v1.Rule', 'Resources, by group, version and name.', () => ({
  apiGroups: opt(1, list(str()), { doc: 'API groups; * for all.', listType: 'atomic' }),
  apiVersions: opt(2, list(str()), { doc: 'API versions; * for all.', listType: 'atomic' }),
  resources: opt(3, list(str()), { doc: 'Resources such as pods, pods/log, pods/*, */scale or */*.', listType: 'atomic' }),
  scope: opt(4, str(['*', 'Cluster', 'Namespaced']), { doc: 'Cluster, Namespaced or *.', pointer: true }),
}))
export type Rule = Infer<typeof rule>
export const ruleWithOperations = obj('io.k8s.api.admissionregistration.v1.RuleWithOperations', 'Operations on resources.', () => ({
  operations: opt(1, list(str(['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'])), {
    doc: 'CREATE, UPDATE, DELETE, CONNECT or *.',
    listType: 'atomic',
  }),
  ...inline(2, rule),
}))
export type RuleWithOperations = Infer<typeof ruleWithOperations>
export const matchCondition = obj('io.k8s.api.admissionregistration.v1.MatchCondition', 'A CEL condition with a name.', () => ({
  name: req(1, str(), { doc: 'Name for messages.', default: '' }),
  expression: req(2, str(), { doc: 'The condition.', default: '' }),
}))
export type MatchCondition = Infer<typeof matchCondition>

/** A webhook of either kind. */
export type Webhook = ValidatingWebhook & { reinvocationPolicy?: string | undefined }
