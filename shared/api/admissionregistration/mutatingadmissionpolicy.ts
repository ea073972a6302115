/**
 * admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicy: changes in CEL that are made to objects.
 * https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
 */
import { list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { mutatingAdmissionPolicies } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateMutatingPolicy } from './mutationvalidation.ts'
import { matchResources, paramKind, paramKindText, variables } from './validatingadmissionpolicy.ts'
import { defaultMatchResources } from './webhookdefaults.ts'
import { matchConditions } from './webhooks.ts'

const name = (kind: string): string => `io.k8s.api.admissionregistration.v1beta1.${kind}`

const mutatingAdmissionPolicySchema = obj(
  name('MutatingAdmissionPolicy'),
  'Changes in CEL that are made to objects, where a binding says so.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, mutatingAdmissionPolicySpec, { doc: 'The changes.', default: {} }),
  }),
)
export type MutatingAdmissionPolicy = Stored<Infer<typeof mutatingAdmissionPolicySchema>>
const mutatingAdmissionPolicySpec = obj(name('MutatingAdmissionPolicySpec'), 'Changes, and what they are made to.', () => ({
  paramKind: opt(1, paramKind, { doc: 'Kind of objects with parameters.' }),
  matchConstraints: opt(2, matchResources, { doc: 'Which requests they are for.' }),
  variables: variables(3),
  mutations: opt(4, list(mutation), { doc: 'The changes, made one after the other.', listType: 'atomic' }),
  failurePolicy: opt(5, str(['Fail', 'Ignore']), {
    doc: 'What becomes of a request when a change cannot be made: Fail or Ignore.',
    pointer: true,
  }),
  matchConditions: matchConditions(6),
  reinvocationPolicy: opt(7, str(['IfNeeded', 'Never']), {
    doc: 'Whether they are made again when others change the object: Never or IfNeeded.',
  }),
}))
export type MutatingAdmissionPolicySpec = Infer<typeof mutatingAdmissionPolicySpec>
const mutation = obj(name('Mutation'), 'A change.', () => ({
  patchType: req(2, str(['ApplyConfiguration', 'JSONPatch']), { doc: 'How it is told: ApplyConfiguration or JSONPatch.', default: '' }),
  applyConfiguration: opt(3, applyConfiguration, { doc: 'What is merged into the object.' }),
  jsonPatch: opt(4, jsonPatch, { doc: 'Operations on the object.' }),
}))
export type Mutation = Infer<typeof mutation>
const applyConfiguration = obj(name('ApplyConfiguration'), 'What is merged into an object, as by server-side apply.', () => ({
  expression: opt(1, str(), { doc: 'A CEL expression that gives an Object{}.' }),
}))
const jsonPatch = obj(name('JSONPatch'), 'Operations on an object.', () => ({
  expression: opt(1, str(), { doc: 'A CEL expression that gives a list of JSONPatch{}.' }),
}))

export const mutatingAdmissionPolicy = resource<MutatingAdmissionPolicy>({
  ...mutatingAdmissionPolicies,
  schema: mutatingAdmissionPolicySchema,
  singular: 'mutatingadmissionpolicy',
  categories: ['api-extensions'],
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'Mutations', type: 'integer', doc: 'How many changes it makes', cell: p => p.spec.mutations?.length ?? 0 },
    { name: 'ParamKind', type: 'string', doc: 'Kind of the objects with parameters', cell: p => paramKindText(p.spec.paramKind) },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    spec.failurePolicy ??= 'Fail'
    if (spec.matchConstraints) defaultMatchResources(spec.matchConstraints)
  },
  validate: (p, at) => validateMutatingPolicy(p.spec, at.child('spec')),
})
