/** Whether a container that exited runs again: the container's own rules first, then its policy, then the pod's. */
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { Pod } from '#shared/api/core/pod.ts'

/** Whether a rule of the container (`restartPolicyRules`, v1.35 beta) asks for a restart on this exit code. */
function restartedByRule(container: Container | EphemeralContainer, exitCode: number): boolean {
  const rule = (container.restartPolicyRules ?? []).find(r => {
    const listed = (r.exitCodes?.values ?? []).includes(exitCode)
    return r.exitCodes?.operator === 'In' ? listed : r.exitCodes?.operator === 'NotIn' ? !listed : false
  })
  return rule?.action === 'Restart'
}

export function restartsAfter(pod: Pod, container: Container | EphemeralContainer, exitCode: number): boolean {
  if (pod.metadata.deletionTimestamp) return false
  if (restartedByRule(container, exitCode)) return true
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always'
  if (policy === 'Never') return false
  return policy === 'Always' || exitCode !== 0
}

/** Whether anything of the pod may ever run again after it failed. */
export const restartsOnFailure = (pod: Pod): boolean => pod.spec.restartPolicy !== 'Never'
