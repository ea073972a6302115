/** Conditions in CEL that a request must meet before a webhook is asked (k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions). */
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { forbidden } from '#shared/machinery/status.ts'
import { cel } from '../../cel/load.ts'
import type { Attributes } from '../admission.ts'
import type { Match } from '../matching.ts'
import { conditionsHold, Evaluation, OutOfBudget } from '../policy/evaluation.ts'
import { authorizersOf, settled } from '../policy/invocation.ts'
import { admissionRequest } from '../policy/request.ts'
import type { Hook } from './configurations.ts'
import type { Step } from './metrics.ts'
import type { Parts } from './parts.ts'
import type { Objects } from './review.ts'

/** Whether the webhook is to be asked. Throws 403 when a condition cannot be evaluated, none says no, and the webhook may not fail. */
export function conditionsMatch(
  parts: Parts,
  hook: Hook,
  type: Step,
  a: Attributes,
  match: Match,
  objects: Maybe<Objects>,
): Maybe<boolean> {
  const { conditions, webhook } = hook
  if (conditions.length === 0) return true
  return after(objects, ({ object, old }) => {
    const { fromJson, matchConditionsCostBudget } = cel()
    const bindings = {
      object: fromJson(object),
      oldObject: fromJson(old),
      request: fromJson(admissionRequest(a, match)),
      namespaceObject: fromJson(undefined),
      ...authorizersOf(parts.authorizer, a)(),
    }
    const about = { name: webhook.name, type, operation: a.operation }
    const holds = settled(() => {
      try {
        return conditionsHold(conditions, new Evaluation(bindings, undefined, matchConditionsCostBudget))
      } catch (e) {
        if (e instanceof OutOfBudget) return { error: e.message }
        throw e
      }
    })
    return after(holds, outcome => {
      if (outcome === true) return true
      if (outcome === false) parts.metrics.excluded(about)
      else parts.metrics.conditionFailed(about)
      if (outcome === false || webhook.failurePolicy === 'Ignore') return false
      parts.log.warn({ webhook: webhook.name, error: outcome.error }, 'match conditions of a webhook could not be evaluated')
      throw forbidden(a.requestResource, a.name, outcome.error)
    })
  })
}
