/** Taints and tolerations. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import type { Toleration } from '../api/core/podspec/scheduling.ts'

export interface Taint {
  key: string
  value?: string | undefined
  effect: string
}

/** Compares a taint's value with a toleration's for the operators Lt and Gt: both must be whole numbers. */
function compares(operator: 'Lt' | 'Gt', taint: string, toleration: string): boolean {
  const whole = /^(0|-?[1-9]\d*)$/
  if (!whole.test(taint) || !whole.test(toleration)) return false
  return operator === 'Lt' ? BigInt(taint) < BigInt(toleration) : BigInt(taint) > BigInt(toleration)
}

/** Whether one toleration covers the taint, whatever its tolerationSeconds. */
export function toleratesTaint(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false
  if (toleration.key && toleration.key !== taint.key) return false
  const [has, wants] = [taint.value ?? '', toleration.value ?? '']
  switch (toleration.operator ?? '') {
    case '':
    case 'Equal':
      return has === wants
    case 'Exists':
      return true
    case 'Lt':
    case 'Gt':
      return compares(toleration.operator as 'Lt' | 'Gt', has, wants)
    default:
      return false
  }
}

export const tolerates = (tolerations: readonly Toleration[] | undefined, taint: Taint): boolean =>
  (tolerations ?? []).some(t => toleratesTaint(t, taint))
