/** What a stricter policy of a namespace means for the pods that are there. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { formatLevel, violations, type LevelVersion } from './policy.ts'

/** Upstream looks at so many pods, for so long. */
const maxPods = 3000
const timeoutMs = 1000
/** Pods that are looked at before other requests have their turn. */
const atOnce = 100

/** Pods of different controllers first. */
function prioritized(pods: readonly Stored[], isExempt: (pod: Pod) => boolean): Pod[] {
  const controllers = new Set<string>()
  const [first, later]: [Pod[], Pod[]] = [[], []]
  for (const { object } of pods) {
    const pod = object as Pod
    if (isExempt(pod)) continue
    const uid = pod.metadata.ownerReferences?.find(r => r.controller)?.uid
    if (uid !== undefined && controllers.has(uid)) later.push(pod)
    else first.push(pod)
    if (uid !== undefined) controllers.add(uid)
  }
  return [...first, ...later]
}

/** Warnings about pods of a namespace that violate what shall be enforced. */
export async function warnAboutPods(
  registry: Registry,
  namespace: string,
  enforce: LevelVersion,
  isExempt: (pod: Pod) => boolean,
): Promise<string[]> {
  const end = performance.now() + timeoutMs
  const all = prioritized(registry.list({ group: '', plural: 'pods' }, namespace), isExempt)
  const found = new Map<string, string[]>()
  let checked = 0
  for (const pod of all.slice(0, maxPods)) {
    const broken = violations(enforce, pod.spec, pod.metadata)
    checked++
    if (broken.length > 0) {
      const reasons = broken.map(v => v.reason).join(', ')
      found.set(reasons, [...(found.get(reasons) ?? []), pod.metadata.name ?? ''])
    }
    if (performance.now() > end) break
    if (checked % atOnce === 0) await new Promise(resolve => setImmediate(resolve))
  }
  const warnings: string[] = []
  if (checked < all.length)
    warnings.push(`new PodSecurity enforce level only checked against the first ${checked} of ${all.length} existing pods`)
  if (found.size > 0)
    warnings.push(`existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${formatLevel(enforce)}"`)
  const others = (n: number): string => (n === 0 ? '' : ` (and ${n} other ${n === 1 ? 'pod' : 'pods'})`)
  const lines = [...found].map(([reasons, names]) => `${names.sort()[0]}${others(names.length - 1)}: ${reasons}`)
  return [...warnings, ...lines.sort()]
}
