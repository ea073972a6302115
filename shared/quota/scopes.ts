/** The scopes of quotas (pkg/quota/v1/evaluator/core). */
import type { ResourceQuota, ScopedResourceSelectorRequirement } from '../api/core/resourcequota.ts'

export type ScopeRequirement = Pick<ScopedResourceSelectorRequirement, 'scopeName' | 'operator' | 'values'>

/** All that must hold of what a quota counts. */
export const scopesOf = ({ spec }: Pick<ResourceQuota, 'spec'>): ScopeRequirement[] => [
  ...(spec.scopes ?? []).map(scopeName => ({ scopeName, operator: 'Exists' })),
  ...(spec.scopeSelector?.matchExpressions ?? []),
]

/** Whether a value, '' for none, is what a requirement asks for, as a label of that value would be. */
export function matchesValue({ operator, values = [] }: ScopeRequirement, value: string): boolean {
  switch (operator) {
    case 'In':
      return value !== '' && values.includes(value)
    case 'NotIn':
      return value === '' || !values.includes(value)
    case 'Exists':
      return value !== ''
    default:
      return operator === 'DoesNotExist' && value === ''
  }
}
