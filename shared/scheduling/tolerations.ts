/** Putting tolerations together (pkg/util/tolerations). */
import { semanticEqual } from '../api/meta/validation.ts'
import type { Toleration } from '../api/core/podspec/scheduling.ts'

/** Whether `t` tolerates nothing that `wide` does not. */
function covers(wide: Toleration, t: Toleration): boolean {
  if (semanticEqual(wide, t)) return true
  if ((t.key ?? '') !== (wide.key ?? '') && (wide.key || wide.operator !== 'Exists')) return false
  if ((t.effect ?? '') !== (wide.effect ?? '') && wide.effect) return false
  if (wide.effect === 'NoExecute' && wide.tolerationSeconds !== undefined)
    if (t.tolerationSeconds === undefined || t.tolerationSeconds > wide.tolerationSeconds) return false
  if (wide.operator === 'Exists') return true
  return (!wide.operator || wide.operator === 'Equal') && t.operator === 'Equal' && (t.value ?? '') === (wide.value ?? '')
}

/** Both lists as one, without what another of them covers. */
export function mergeTolerations(first: readonly Toleration[], second: readonly Toleration[]): Toleration[] {
  const all = [...first, ...second]
  const merged: Toleration[] = []
  all.forEach((t, i) => {
    const covered = merged.some(m => covers(m, t)) || all.slice(i + 1).some(later => !semanticEqual(later, t) && covers(later, t))
    if (!covered) merged.push({ ...t })
  })
  return merged
}
