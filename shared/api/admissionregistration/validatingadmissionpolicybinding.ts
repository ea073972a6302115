/** admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding: puts a policy to work, with parameters. */
import { list, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { validatingAdmissionPolicyBindings } from '../kinds.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource, type Column } from '../resource.ts'
import { validateBinding } from './policyvalidation.ts'
import { matchResources } from './validatingadmissionpolicy.ts'
import { defaultMatchResources } from './webhookdefaults.ts'

const validatingAdmissionPolicyBindingSchema = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding',
  'Puts a policy to work, with parameters.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, validatingAdmissionPolicyBindingSpec, { doc: 'Which policy, on what, and what then.', default: {} }),
  }),
)
export type ValidatingAdmissionPolicyBinding = Stored<Infer<typeof validatingAdmissionPolicyBindingSchema>>
const validatingAdmissionPolicyBindingSpec = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec',
  'Which policy, on what, and what then.',
  () => ({
    policyName: opt(1, str(), { doc: 'Name of the policy.' }),
    paramRef: opt(2, paramRef, { doc: 'Objects with parameters.' }),
    matchResources: opt(3, matchResources, { doc: 'Requests that are meant, of those that the policy is for.' }),
    validationActions: opt(4, list(str(['Audit', 'Deny', 'Warn'])), {
      doc: 'What becomes of requests that break a rule: Deny, Warn, Audit.',
      listType: 'set',
    }),
  }),
)
export type ValidatingAdmissionPolicyBindingSpec = Infer<typeof validatingAdmissionPolicyBindingSpec>
export const paramRef = obj(
  'io.k8s.api.admissionregistration.v1.ParamRef',
  'Objects with parameters.',
  () => ({
    name: opt(1, str(), { doc: 'Name of one.' }),
    namespace: opt(2, str(), { doc: 'Their namespace.' }),
    selector: opt(3, labelSelector, { doc: 'Labels of several.' }),
    parameterNotFoundAction: opt(4, str(), { doc: 'What becomes of a request when there is none: Allow or Deny.', pointer: true }),
  }),
  { atomic: true },
)
export type ParamRef = Infer<typeof paramRef>

function parametersText(p: ParamRef | undefined): string {
  if (!p) return '<unset>'
  return p.name ? (p.namespace ? `${p.namespace}/${p.name}` : `*/${p.name}`) : (p.namespace ?? '')
}

/** Of bindings of either kind of policy. */
export const bindingColumns: readonly Column<
  Pick<ValidatingAdmissionPolicyBinding, 'metadata'> & { spec: { policyName?: string; paramRef?: ParamRef } }
>[] = [
  nameColumn,
  { name: 'PolicyName', type: 'string', doc: 'Name of the policy', cell: b => b.spec.policyName ?? '' },
  { name: 'ParamRef', type: 'string', doc: 'Objects with parameters', cell: b => parametersText(b.spec.paramRef) },
  ageColumn,
]

export const validatingAdmissionPolicyBinding = resource<ValidatingAdmissionPolicyBinding>({
  ...validatingAdmissionPolicyBindings,
  schema: validatingAdmissionPolicyBindingSchema,
  singular: 'validatingadmissionpolicybinding',
  categories: ['api-extensions'],
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  columns: bindingColumns,
  defaults: ({ spec }) => {
    if (spec.matchResources) defaultMatchResources(spec.matchResources)
  },
  validate: (b, at) => validateBinding(b.spec, at.child('spec')),
})
