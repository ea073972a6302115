/** Asking one webhook about one request. */
import { badRequest, StatusError } from '#shared/machinery/status.ts'
import { currentTurn } from '../../chain/turn.ts'
import type { Webhooks } from '../../webhook/clients.ts'
import type { Attributes } from '../admission.ts'
import type { Match } from '../matching.ts'
import type { Hook } from './configurations.ts'
import { CallFailed, Rejected } from './failure.ts'
import { denial, questionOf, readReview, verdictOf, type Objects, type Question, type Verdict } from './review.ts'

/** Of an answer: a patch of an object of the largest size, in base64, and something to spare. */
const maxBytes = 10 * 1024 * 1024

/**
 * The webhook's verdict when it lets the request pass; what it notes and warns of is passed on. Throws CallFailed, Rejected, StatusError.
 */
export async function ask(
  webhooks: Webhooks,
  { webhook }: Hook,
  a: Attributes,
  match: Match,
  objects: Objects,
  mutating: boolean,
): Promise<Verdict> {
  const { name } = webhook
  if (a.dryRun) {
    if (webhook.sideEffects === undefined) throw new CallFailed(name, 'Webhook SideEffects is nil', 400)
    if (webhook.sideEffects !== 'None' && webhook.sideEffects !== 'NoneOnDryRun')
      throw badRequest(`admission webhook ${JSON.stringify(name)} does not support dry run`)
  }
  let question: Question
  try {
    question = questionOf(a, match, objects, webhook.admissionReviewVersions)
  } catch (e) {
    throw new CallFailed(name, `could not create admission objects: ${(e as Error).message}`, 400)
  }
  const timeoutMs = (webhook.timeoutSeconds ?? 10) * 1000
  let answer: ReturnType<typeof readReview>
  try {
    answer = readReview(await webhooks.call(webhook.clientConfig, question.body, { timeoutMs, maxBytes }))
  } catch (e) {
    const code = e instanceof StatusError ? e.code : 503
    throw new CallFailed(name, `failed to call webhook: ${(e as Error).message}`, code, currentTurn()?.signal.aborted === true)
  }
  let verdict: Verdict
  try {
    verdict = verdictOf(answer, question, mutating)
  } catch (e) {
    throw new CallFailed(name, `received invalid webhook response: ${(e as Error).message}`, 503)
  }
  for (const [key, value] of Object.entries(verdict.auditAnnotations)) a.annotate(`${name}/${key}`, value)
  for (const text of verdict.warnings) a.warn(text)
  if (!verdict.allowed) throw new Rejected(denial(name, verdict))
  return verdict
}
