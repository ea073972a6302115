/** The approval that kinds of Kubernetes' own groups need (k8s.io/apiextensions-apiserver/pkg/apihelpers). */

export const approvalAnnotation = 'api-approved.kubernetes.io'

export interface Approval {
  /** Those of the condition KubernetesAPIApprovalPolicyConformant. */
  readonly reason: 'MissingAnnotation' | 'UnapprovedAnnotation' | 'ApprovedAnnotation' | 'InvalidAnnotation'
  readonly message: string
}

const see = 'see https://github.com/kubernetes/enhancements/pull/1111'

/** Undefined for groups that need none. */
export function approvalOf(group: string, annotations: { readonly [key: string]: string } | undefined): Approval | undefined {
  const own = group === 'k8s.io' || group === 'kubernetes.io' || group.endsWith('.k8s.io') || group.endsWith('.kubernetes.io')
  if (!own) return undefined
  const value = annotations?.[approvalAnnotation]
  if (!value)
    return { reason: 'MissingAnnotation', message: `protected groups must have approval annotation "${approvalAnnotation}", ${see}` }
  if (value.startsWith('unapproved')) return { reason: 'UnapprovedAnnotation', message: `not approved: ${JSON.stringify(value)}` }
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/\s]+/i.test(value)) return { reason: 'ApprovedAnnotation', message: `approved in ${value}` }
  return {
    reason: 'InvalidAnnotation',
    message: `protected groups must have approval annotation "${approvalAnnotation}" with either a URL or a reason starting with "unapproved", ${see}`,
  }
}
