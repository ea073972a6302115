/** What authorizers decided, under upstream's names (k8s.io/apiserver/pkg/authorization/metrics, plugin/pkg/authorizer/webhook/metrics). */
import { Counter, Histogram, type Registry as MetricsRegistry } from 'prom-client'
import type { Attributes, Authorizer, Decision } from './authorizer.ts'

export interface WebhookMetrics {
  /** One try; `seconds` that it took. */
  asked(result: 'success' | 'timeout' | 'error', seconds: number): void
  /** No answer was had, and the next authorizer is asked. */
  failedOpen(result: 'timeout' | 'error'): void
  /** What the conditions made of a question. */
  matched(match: 'skip' | 'fail'): void
}

export interface AuthorizationMetrics {
  /** The same authorizer, counted. */
  counted(type: string, name: string, authorizer: Authorizer): Authorizer
  webhook(name: string): WebhookMetrics
}

export function authorizationMetrics(registry: MetricsRegistry): AuthorizationMetrics {
  const registers = [registry]
  /** Plain numbers: every request is one. */
  const decisions = new Map<string, { labels: Record<string, string>; value: number }>()
  new Counter({
    name: 'apiserver_authorization_decisions_total',
    help: 'Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.',
    labelNames: ['type', 'name', 'decision'],
    registers,
    collect() {
      this.reset()
      for (const { labels, value } of decisions.values()) if (value > 0) this.inc(labels, value)
    },
  })
  const countOf = (type: string, name: string, decision: string) => {
    const key = JSON.stringify([type, name, decision])
    let count = decisions.get(key)
    if (!count) decisions.set(key, (count = { labels: { type, name, decision }, value: 0 }))
    return count
  }
  const byResult = ['name', 'result']
  const evaluations = new Counter({
    name: 'apiserver_authorization_webhook_evaluations_total',
    help: 'Round-trips to authorization webhooks.',
    labelNames: byResult,
    registers,
  })
  const durations = new Histogram({
    name: 'apiserver_authorization_webhook_duration_seconds',
    help: 'Request latency in seconds.',
    labelNames: byResult,
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 10],
    registers,
  })
  const failOpens = new Counter({
    name: 'apiserver_authorization_webhook_evaluations_fail_open_total',
    help: 'NoOpinion results due to webhook timeout or error.',
    labelNames: byResult,
    registers,
  })
  const ofConditions = (what: string, help: string) =>
    new Counter({ name: `apiserver_authorization_match_condition_${what}_total`, help, labelNames: ['type', 'name'], registers })
  const skipped = ofConditions(
    'exclusions',
    'Total number of exclusions when an authorizer is skipped because its match conditions exclude it.',
  )
  const broken = ofConditions(
    'evaluation_errors',
    'Total number of errors when an authorization webhook encounters a match condition error.',
  )
  return {
    counted(type, name, authorizer) {
      const [allowed, denied] = [countOf(type, name, 'allowed'), countOf(type, name, 'denied')]
      // A refusal is looked at again when the cache is current.
      const refused = new WeakSet<Attributes>()
      const count = (a: Attributes, decision: Decision): Decision => {
        if (decision.decision === 'allow') allowed.value++
        else if (decision.decision === 'deny' && !refused.has(a)) {
          refused.add(a)
          denied.value++
        }
        return decision
      }
      return {
        authorize(a: Attributes) {
          const answer = authorizer.authorize(a)
          return answer instanceof Promise ? answer.then(decision => count(a, decision)) : count(a, answer)
        },
        rulesFor: (user, namespace) => authorizer.rulesFor(user, namespace),
      }
    },
    webhook: name => ({
      asked(result, seconds) {
        evaluations.inc({ name, result })
        durations.observe({ name, result }, seconds)
      },
      failedOpen: result => failOpens.inc({ name, result }),
      matched: match => (match === 'skip' ? skipped : broken).inc({ type: 'Webhook', name }),
    }),
  }
}
