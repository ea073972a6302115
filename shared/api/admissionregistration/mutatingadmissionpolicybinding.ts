/** admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicyBinding: puts a policy to work, with parameters. */
import { obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { mutatingAdmissionPolicyBindings } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateMutatingBinding } from './mutationvalidation.ts'
import { matchResources } from './validatingadmissionpolicy.ts'
import { bindingColumns, paramRef } from './validatingadmissionpolicybinding.ts'
import { defaultMatchResources } from './webhookdefaults.ts'

const mutatingAdmissionPolicyBindingSchema = obj(
  'io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding',
  'Puts a policy to work, with parameters.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, mutatingAdmissionPolicyBindingSpec, { doc: 'Which policy, and on what.', default: {} }),
  }),
)
export type MutatingAdmissionPolicyBinding = Stored<Infer<typeof mutatingAdmissionPolicyBindingSchema>>
const mutatingAdmissionPolicyBindingSpec = obj(
  'io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBindingSpec',
  'Which policy, and on what.',
  () => ({
    policyName: opt(1, str(), { doc: 'Name of the policy.' }),
    paramRef: opt(2, paramRef, { doc: 'Objects with parameters.' }),
    matchResources: opt(3, matchResources, { doc: 'Requests that are meant, of those that the policy is for.' }),
  }),
)
export type MutatingAdmissionPolicyBindingSpec = Infer<typeof mutatingAdmissionPolicyBindingSpec>

export const mutatingAdmissionPolicyBinding = resource<MutatingAdmissionPolicyBinding>({
  ...mutatingAdmissionPolicyBindings,
  schema: mutatingAdmissionPolicyBindingSchema,
  singular: 'mutatingadmissionpolicybinding',
  categories: ['api-extensions'],
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  columns: bindingColumns,
  defaults: ({ spec }) => {
    if (spec.matchResources) defaultMatchResources(spec.matchResources)
  },
  validate: (b, at) => validateMutatingBinding(b.spec, at.child('spec')),
})
