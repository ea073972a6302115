/** Which webhooks are asked about a request. */
import type { Attributes } from '../admission.ts'
import { isAdmissionConfiguration } from '../matching.ts'
import type { Configurations, Hook } from './configurations.ts'

const nobody: readonly Hook[] = []

/**
 * Those whose rules name the request's resource, in upstream's order; their selectors are still to be asked. What the server itself writes
 * is not put to webhooks: it must be able to start while they are down.
 */
export function concerned(configurations: Configurations, a: Attributes): readonly Hook[] {
  const hooks = configurations.interestedIn(a.requestResource.resource)
  if (hooks.length === 0 || a.own || isAdmissionConfiguration(a)) return nobody
  return hooks.filter(hook => hook.matcher.concerns(a))
}
