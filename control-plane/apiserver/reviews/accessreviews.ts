/** authorization.k8s.io/v1: may somebody do something, and what may I do? (pkg/registry/authorization) */
import {
  localSubjectAccessReview,
  selfSubjectAccessReview,
  subjectAccessReview,
  type AccessReviewStatus,
  type SubjectAccessReview,
} from '#shared/api/authorization/subjectaccessreview.ts'
import { selfSubjectRulesReview, type SelfSubjectRulesReview } from '#shared/api/authorization/selfsubjectrulesreview.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { invalid, type FieldError, type Path } from '#shared/machinery/field.ts'
import { formatFieldSelector, type FieldRequirement } from '#shared/machinery/fieldselector.ts'
import { formatSelector, selectorOf } from '#shared/machinery/labels.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { Admission } from '../admission/admission.ts'
import type { Attributes, Authorizer } from '../authz/authorizer.ts'
import type { Served } from '../surface.ts'
import { reviewKind, serveReview, validateMetadata } from './review.ts'

const group = 'authorization.k8s.io'
export const accessReviewKinds = {
  subject: reviewKind(group, 'SubjectAccessReview', subjectAccessReview),
  self: reviewKind(group, 'SelfSubjectAccessReview', selfSubjectAccessReview),
  local: reviewKind(group, 'LocalSubjectAccessReview', localSubjectAccessReview, true),
  rules: reviewKind(group, 'SelfSubjectRulesReview', selfSubjectRulesReview),
}
type Spec = SubjectAccessReview['spec']

/** `whose`: whether the question names a subject. */
function validateSpec({ resourceAttributes, nonResourceAttributes, user, groups }: Spec, whose: boolean, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const paths = at.child('nonResourceAttributes')
  if (resourceAttributes && nonResourceAttributes)
    errors.push(invalid(paths, nonResourceAttributes, 'cannot be specified in combination with resourceAttributes'))
  if (!resourceAttributes && !nonResourceAttributes)
    errors.push(
      invalid(at.child('resourceAttributes'), null, 'exactly one of nonResourceAttributes or resourceAttributes must be specified'),
    )
  for (const name of ['fieldSelector', 'labelSelector'] as const) {
    const selector = resourceAttributes?.[name]
    if (!selector) continue
    const here = at.child('resourceAttributes', name)
    const both = selector.rawSelector && selector.requirements?.length
    if (both) errors.push(invalid(here.child('rawSelector'), selector.rawSelector, 'may not specified at the same time as requirements'))
    else if (!selector.rawSelector && !selector.requirements?.length)
      errors.push(invalid(here.child('requirements'), null, `when ${here} is specified, requirements or rawSelector is required`))
  }
  if (whose && !user && !groups?.length)
    errors.push(invalid(at.child('user'), user ?? '', 'at least one of user or group must be specified'))
  return errors
}

function validateLocal({ metadata, spec }: SubjectAccessReview & KubeObject, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { resourceAttributes: resource, nonResourceAttributes } = spec
  if (resource && (resource.namespace ?? '') !== metadata.namespace)
    errors.push(invalid(at.child('spec.resourceAttributes.namespace'), resource.namespace ?? '', 'must match metadata.namespace'))
  if (nonResourceAttributes)
    errors.push(invalid(at.child('spec.nonResourceAttributes'), nonResourceAttributes, 'disallowed on this kind of request'))
  return errors
}

type Selectors = NonNullable<Spec['resourceAttributes']>

/** A field selector of a question as the query of a request has it. */
function fieldSelectorOf(attributes: Selectors['fieldSelector']): string {
  if (attributes?.rawSelector) return attributes.rawSelector
  const requirements = (attributes?.requirements ?? []).flatMap(({ key, operator, values }): FieldRequirement[] =>
    (operator === 'In' || operator === 'NotIn') && values?.length === 1
      ? [{ field: key, operator: operator === 'In' ? '=' : '!=', value: values[0]! }]
      : [],
  )
  return formatFieldSelector(requirements)
}

/** The same of a label selector. What is wrong does not narrow the question. */
function labelSelectorOf(attributes: Selectors['labelSelector']): string {
  if (attributes?.rawSelector) return attributes.rawSelector
  try {
    return formatSelector(selectorOf({ matchExpressions: attributes?.requirements ?? [] }) ?? [])
  } catch {
    return ''
  }
}

function attributesOf(user: UserInfo, { resourceAttributes: r, nonResourceAttributes }: Spec): Attributes {
  const { verb = '', path = '' } = nonResourceAttributes ?? {}
  const none = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '' }
  if (!r) return { user, ...none, isResource: false, verb, path }
  const { fieldSelector, labelSelector, ...rest } = r
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  const selectors = { fieldSelector: fieldSelectorOf(fieldSelector), labelSelector: labelSelectorOf(labelSelector) }
  return { user, ...none, verb: '', ...given, isResource: true, path: '', ...selectors }
}

export function accessReviews(authorizer: Authorizer, admission: Admission): Served[] {
  type Review = SubjectAccessReview & KubeObject
  const decide = async (user: UserInfo, spec: Spec): Promise<AccessReviewStatus> => {
    const { decision, reason } = await authorizer.authorize(attributesOf(user, spec))
    return { allowed: decision === 'allow', ...(decision === 'deny' ? { denied: true } : {}), ...(reason === '' ? {} : { reason }) }
  }
  const ofSubject = async (review: Review): Promise<void> => {
    const { user = '', groups = [], extra, uid } = review.spec
    review.status = await decide({ name: user, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) }, review.spec)
  }
  const { subject, self, local, rules } = accessReviewKinds
  return [
    serveReview<Review>(subject, admission, {
      validate: (r, at) => [...validateSpec(r.spec, true, at.child('spec')), ...validateMetadata(r, false)],
      answer: ofSubject,
    }),
    serveReview<Review>(local, admission, {
      validate: (r, at) => [...validateSpec(r.spec, true, at.child('spec')), ...validateMetadata(r, true), ...validateLocal(r, at)],
      answer: ofSubject,
    }),
    serveReview<Review>(self, admission, {
      validate: (r, at) => [...validateSpec(r.spec, false, at.child('spec')), ...validateMetadata(r, false)],
      async answer(review, { user }) {
        review.status = await decide(user, review.spec)
      },
    }),
    serveReview<SelfSubjectRulesReview & KubeObject>(rules, admission, {
      async answer(review, { user }) {
        const { namespace } = review.spec
        if (!namespace) throw badRequest('no namespace on request')
        const found = await authorizer.rulesFor(user, namespace)
        review.status = structuredClone(found) as NonNullable<SelfSubjectRulesReview['status']>
      },
    }),
  ]
}
