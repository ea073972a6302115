/** The authorizer Webhook: another server decides, asked by SubjectAccessReviews (k8s.io/apiserver/plugin/pkg/authorizer/webhook). */
import type { Logger } from '#shared/component/log.ts'
import { isTimeout, openWebhookBackend } from '../webhookbackend.ts'
import { matcher } from './matchconditions.ts'
import type { WebhookMetrics } from './metrics.ts'
import { questionOf } from './question.ts'
import { noOpinion, type Attributes, type Authorizer, type Decision, type Rules } from './authorizer.ts'

export interface WebhookAuthorizerOptions {
  /** A kubeconfig. */
  readonly file: string
  readonly version: 'v1' | 'v1beta1'
  /** For each request, ms. */
  readonly timeoutMs: number
  /** How long answers are good, ms; 0: they are not kept. */
  readonly authorizedTtlMs: number
  readonly unauthorizedTtlMs: number
  /** When no answer is to be had. */
  readonly onError: 'deny' | 'no opinion'
  /** Conditions in CEL, all of which a question must meet. */
  readonly conditions: readonly string[]
}

export interface WebhookAuthorizer extends Authorizer {
  close(): void
}

const firstPauseMs = 500
const maxRemembered = 8192
/** Of what the client chooses: longer questions are not kept. */
const maxKept = 10_000

interface Status {
  allowed?: boolean
  denied?: boolean
  reason?: string
}
const rules: Rules = {
  resourceRules: [],
  nonResourceRules: [],
  incomplete: true,
  evaluationError: 'webhook authorizer does not support user rule resolution',
}

function decided({ allowed, denied, reason = '' }: Status): Decision {
  if (denied) return { decision: 'deny', reason }
  if (allowed) return { decision: 'allow', reason }
  return reason === '' ? noOpinion : { decision: 'no opinion', reason }
}

/** Answers at once while an answer is kept. Rejects when the file is no kubeconfig or names files that cannot be read. */
export async function webhookAuthorizer(o: WebhookAuthorizerOptions, metrics: WebhookMetrics, log: Logger): Promise<WebhookAuthorizer> {
  const backend = await openWebhookBackend(o.file, {
    firstPauseMs,
    timeoutMs: o.timeoutMs,
    onTry: (seconds, e) => metrics.asked(e === undefined ? 'success' : isTimeout(e) ? 'timeout' : 'error', seconds),
    onFailure: (attempt, e) => log.warn({ attempt, err: e.message }, 'the webhook for authorization failed'),
  })
  const match = matcher(o.conditions)
  const onError: Decision = o.onError === 'deny' ? { decision: 'deny', reason: '' } : noOpinion
  const remembered = new Map<string, { decision: Decision; until: number }>()
  const asking = new Map<string, Promise<Decision>>()
  /** One request is asked about once, however often its decision is looked at again, also when the answer is not kept. */
  const asked = new WeakMap<Attributes, Promise<Decision>>()
  const unasked = new WeakSet<Attributes>()

  function keep(key: string, decision: Decision, ttlMs: number): void {
    remembered.delete(key)
    if (ttlMs <= 0 || key.length >= maxKept) return
    if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value!)
    remembered.set(key, { decision, until: performance.now() + ttlMs })
  }

  async function ask(key: string, spec: object): Promise<Decision> {
    const apiVersion = `authorization.k8s.io/${o.version}`
    // The older version calls the groups `group`.
    const { groups, ...rest } = spec as { groups?: readonly string[] }
    const sent = o.version === 'v1' ? spec : { ...rest, ...(groups ? { group: groups } : {}) }
    try {
      const { status } = (await backend.ask({ kind: 'SubjectAccessReview', apiVersion, metadata: {}, spec: sent })) as { status?: Status }
      const decision = decided(status ?? {})
      keep(key, decision, status?.allowed ? o.authorizedTtlMs : o.unauthorizedTtlMs)
      return decision
    } catch (e) {
      if (o.onError === 'no opinion') metrics.failedOpen(isTimeout(e as Error) ? 'timeout' : 'error')
      return onError
    }
  }

  return {
    authorize(a) {
      const matched = match(a)
      if (matched !== 'ask') {
        if (!unasked.has(a)) metrics.matched(matched)
        unasked.add(a)
        return matched === 'skip' ? noOpinion : onError
      }
      const spec = questionOf(a)
      const key = JSON.stringify(spec)
      const before = remembered.get(key)
      if (before && before.until > performance.now()) return before.decision
      const running = asked.get(a) ?? asking.get(key)
      if (running) return running
      const question = ask(key, spec).finally(() => asking.delete(key))
      asking.set(key, question)
      asked.set(a, question)
      return question
    },
    rulesFor: () => rules,
    close: () => backend.close(),
  }
}
