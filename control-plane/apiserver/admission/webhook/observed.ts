/** One call of a webhook, counted, and its failure judged by the webhook's failurePolicy. */
import type { Attributes } from '../admission.ts'
import type { Hook } from './configurations.ts'
import { CallFailed, Rejected } from './failure.ts'
import type { Step } from './metrics.ts'
import type { Parts } from './parts.ts'

/** The call's outcome. Throws the StatusError that the client gets, or the CallFailed that is to be ignored. */
export async function observed<T>(
  { metrics, log }: Parts,
  { webhook }: Hook,
  type: Step,
  a: Attributes,
  call: () => Promise<T>,
): Promise<T> {
  const { name, failurePolicy } = webhook
  const { operation } = a
  const start = performance.now()
  const seen = (rejected: boolean, code: number): void =>
    metrics.observe({ name, type, operation, rejected, code }, (performance.now() - start) / 1000)
  try {
    const made = await call()
    seen(false, 200)
    return made
  } catch (e) {
    if (e instanceof Rejected) {
      metrics.rejected({ name, type, operation, errorType: 'no_error', code: e.status.code })
      seen(true, e.status.code)
      log.debug({ webhook: name, operation, message: e.message }, 'a webhook denied a request')
      throw e.status
    }
    if (!(e instanceof CallFailed)) {
      metrics.rejected({ name, type, operation, errorType: 'apiserver_internal_error', code: 0 })
      seen(true, 0)
      throw e
    }
    const open = failurePolicy === 'Ignore'
    if (!open && !e.canceled) metrics.rejected({ name, type, operation, errorType: 'calling_webhook_error', code: e.code })
    if (open && !e.canceled) metrics.failedOpen({ name, type })
    seen(!open, e.code)
    log.warn({ webhook: name, operation, error: e.message, failurePolicy }, 'calling a webhook failed')
    throw open ? e : e.status
  }
}
