/** ValidatingAdmissionWebhook: webhooks judge requests, all at once (k8s.io/apiserver/pkg/admission/plugin/webhook/validating). */
import type { Maybe } from '#shared/machinery/maybe.ts'
import type { AdmissionPlugin, Attributes } from '../admission.ts'
import { caughtUp } from '../../registry/current.ts'
import type { Match } from '../matching.ts'
import { ask } from './ask.ts'
import { followConfigurations, type Hook } from './configurations.ts'
import { CallFailed, checkTime } from './failure.ts'
import { formOf } from './form.ts'
import { observed } from './observed.ts'
import { conditionsMatch } from './matchconditions.ts'
import type { Parts } from './parts.ts'
import type { Objects } from './review.ts'
import { concerned } from './selected.ts'

/** A webhook that is asked, and in which form. */
interface Candidate {
  readonly hook: Hook
  readonly match: Match
  readonly objects: Maybe<Objects>
}

export function validatingWebhooks(parts: Parts): AdmissionPlugin {
  const { registry, serving } = parts
  const configurations = followConfigurations(registry, 'validatingwebhookconfigurations', serving)

  async function dispatch(a: Attributes, hooks: readonly Hook[]): Promise<void> {
    // Converted once for all that are asked in a version.
    const forms = new Map<string, Maybe<Objects>>()
    const objectsOf = (match: Match): Maybe<Objects> => {
      const key = JSON.stringify(match.kind)
      if (!forms.has(key)) forms.set(key, formOf(a, match, serving()).objects)
      return forms.get(key)!
    }
    const relevant: Candidate[] = []
    for (const hook of hooks) {
      const matching = hook.matcher.match(a)
      const match = matching instanceof Promise ? await matching : matching
      if (!match) continue
      const objects = objectsOf(match)
      if (await conditionsMatch(parts, hook, 'validating', a, match, objects)) relevant.push({ hook, match, objects })
    }
    if (relevant.length === 0) return
    checkTime()
    const failures: unknown[] = []
    await Promise.all(relevant.map((candidate, i) => judge(a, candidate, i).catch((e: unknown) => void failures.push(e))))
    // All have answered: the first that did not agree says why.
    if (failures.length > 0) throw failures[0]
  }

  async function judge(a: Attributes, candidate: Candidate, index: number): Promise<void> {
    const { hook, match, objects } = candidate
    try {
      await observed(parts, hook, 'validating', a, async () => ask(parts.webhooks, hook, a, match, await objects, false))
    } catch (e) {
      if (!(e instanceof CallFailed)) throw e
      if (!e.canceled) a.annotate(`failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`, hook.webhook.name)
    }
  }

  function begin(a: Attributes): Maybe<void> {
    const hooks = concerned(configurations, a)
    return hooks.length === 0 ? undefined : dispatch(a, hooks)
  }

  return {
    name: 'ValidatingAdmissionWebhook',
    validate: a => (registry.current ? begin(a) : caughtUp(registry).then(() => begin(a))),
  }
}
