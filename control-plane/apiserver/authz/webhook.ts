/** The authorizer Webhook: another server decides, asked by SubjectAccessReviews (k8s.io/apiserver/plugin/pkg/authorizer/webhook). */
import type { Logger } from '#shared/component/log.ts'
import { parseFieldSelector } from '#shared/machinery/fieldselector.ts'
import { parseLabelSelector, type LabelOperator } from '#shared/machinery/labels.ts'
import { openWebhookBackend } from '../webhookbackend.ts'
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
interface Requirement {
  key: string
  operator: string
  values?: readonly string[]
}

const labelOperators: Partial<Record<LabelOperator, string>> = {
  in: 'In',
  '=': 'In',
  '==': 'In',
  notin: 'NotIn',
  '!=': 'NotIn',
  exists: 'Exists',
  '!': 'DoesNotExist',
}

/** Selectors only narrow what is asked for: of one that cannot be read nothing is said. */
function requirements(parse: () => Requirement[]): { requirements: Requirement[] } | undefined {
  try {
    const found = parse()
    return found.length > 0 ? { requirements: found } : undefined
  } catch {
    return undefined
  }
}

/** The spec of the question. */
export function questionOf(a: Attributes): object {
  const { user, isResource, verb, path } = a
  const who = {
    user: user.name,
    ...(user.groups.length > 0 ? { groups: user.groups } : {}),
    ...(user.extra ? { extra: user.extra } : {}),
    ...(user.uid ? { uid: user.uid } : {}),
  }
  if (!isResource) return { nonResourceAttributes: { path, verb }, ...who }
  const { namespace, group, version, resource, subresource, name, fieldSelector, labelSelector } = a
  const given = Object.entries({ namespace, verb, group, version, resource, subresource, name }).filter(([, value]) => value !== '')
  const fields = requirements(() =>
    parseFieldSelector(fieldSelector ?? '').map(r => ({
      key: r.field,
      operator: r.operator === '=' ? 'In' : 'NotIn',
      values: [r.value],
    })),
  )
  const labels = requirements(() =>
    parseLabelSelector(labelSelector ?? '').flatMap(r => {
      const operator = labelOperators[r.operator]
      return operator === undefined ? [] : [{ key: r.key, operator, ...(r.values.length > 0 ? { values: r.values } : {}) }]
    }),
  )
  return {
    resourceAttributes: {
      ...Object.fromEntries(given),
      ...(fields ? { fieldSelector: fields } : {}),
      ...(labels ? { labelSelector: labels } : {}),
    },
    ...who,
  }
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
export async function webhookAuthorizer(o: WebhookAuthorizerOptions, log: Logger): Promise<WebhookAuthorizer> {
  const backend = await openWebhookBackend(o.file, {
    firstPauseMs,
    timeoutMs: o.timeoutMs,
    onFailure: (attempt, e) => log.warn({ attempt, err: e.message }, 'the webhook for authorization failed'),
  })
  const onError: Decision = o.onError === 'deny' ? { decision: 'deny', reason: '' } : noOpinion
  const remembered = new Map<string, { decision: Decision; until: number }>()
  const asking = new Map<string, Promise<Decision>>()
  /** One request is asked about once, however often its decision is looked at again, also when the answer is not kept. */
  const asked = new WeakMap<Attributes, Promise<Decision>>()

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
    } catch {
      return onError
    }
  }

  return {
    authorize(a) {
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
