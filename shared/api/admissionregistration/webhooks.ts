/** What the two kinds of webhook configurations of admissionregistration.k8s.io/v1 share with each other and with policies. */
import { bytes, inline, int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { labelSelector } from '../meta/labelselector.ts'
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

/** What webhooks of both kinds have; `objectSelector` is that field's protobuf tag, which differs. */
export const webhookFields = (objectSelector: number) => ({
  name: req(1, str(), { doc: 'Name with a domain, unique in the configuration.', default: '' }),
  clientConfig: req(2, webhookClientConfig, { doc: 'Where it is reached.', default: {} }),
  rules: opt(3, list(ruleWithOperations), { doc: 'Which requests it is asked about.', listType: 'atomic' }),
  failurePolicy: opt(4, str(['Fail', 'Ignore']), { doc: 'What becomes of a request when it fails: Fail or Ignore.', pointer: true }),
  matchPolicy: opt(9, str(['Equivalent', 'Exact']), {
    doc: 'Whether rules match other versions of a resource as well: Equivalent or Exact.',
    pointer: true,
  }),
  namespaceSelector: opt(5, labelSelector, { doc: 'In which namespaces it is asked.' }),
  objectSelector: opt(objectSelector, labelSelector, { doc: 'About which objects it is asked.' }),
  sideEffects: req(6, str(['None', 'NoneOnDryRun', 'Some', 'Unknown']), {
    doc: 'Whether asking has other effects: None or NoneOnDryRun.',
    pointer: true,
  }),
  timeoutSeconds: opt(7, int32(), { doc: 'How long it may take; 1 to 30.' }),
  admissionReviewVersions: req(8, list(str()), {
    doc: 'Versions of AdmissionReview that it knows; the first that the server knows is used.',
    listType: 'atomic',
  }),
})

/** `tag` is the field's protobuf tag. */
export const matchConditions = (tag: number) =>
  opt(tag, list(matchCondition), {
    doc: 'CEL conditions that a request must meet.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  })
