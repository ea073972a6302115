/** rbac.authorization.k8s.io/v1 PolicyRule: what may be done. https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
import { invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'

export const rbacGroup = 'rbac.authorization.k8s.io'

export const policyRule = obj('io.k8s.api.rbac.v1.PolicyRule', 'What may be done with which resources or paths.', () => ({
  verbs: req(1, list(str()), { doc: 'Verbs; * means all.', listType: 'atomic' }),
  apiGroups: opt(2, list(str()), { doc: 'API groups of the resources; the core group is empty, * means all.', listType: 'atomic' }),
  resources: opt(3, list(str()), { doc: 'Resources, or resource/subresource; * means all.', listType: 'atomic' }),
  resourceNames: opt(4, list(str()), { doc: 'Names that the rule is limited to; empty means all.', listType: 'atomic' }),
  nonResourceURLs: opt(5, list(str()), { doc: 'Paths that are no resources; a * may end one.', listType: 'atomic' }),
}))
export type PolicyRule = Infer<typeof policyRule>

/** pkg/apis/rbac/validation: validatePolicyRule, of all rules of a role. */
export const validateRules = (rules: readonly PolicyRule[] | undefined, namespaced: boolean, at: Path): FieldError[] =>
  (rules ?? []).flatMap((rule, i) => validateRule(rule, namespaced, at.index(i)))

const has = (values: readonly string[] | undefined): boolean => (values?.length ?? 0) > 0

function validateRule(rule: PolicyRule, namespaced: boolean, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (!has(rule.verbs)) errors.push(required(at.child('verbs'), 'verbs must contain at least one value'))
  if (has(rule.nonResourceURLs)) {
    const urls = at.child('nonResourceURLs')
    if (namespaced) errors.push(invalid(urls, rule.nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'))
    if (has(rule.apiGroups) || has(rule.resources) || has(rule.resourceNames))
      errors.push(invalid(urls, rule.nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs'))
    return errors
  }
  if (!has(rule.apiGroups)) errors.push(required(at.child('apiGroups'), 'resource rules must supply at least one api group'))
  if (!has(rule.resources)) errors.push(required(at.child('resources'), 'resource rules must supply at least one resource'))
  return errors
}
