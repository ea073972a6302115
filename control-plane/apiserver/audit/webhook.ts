/**
 * `--audit-webhook-config-file`: events are posted to another server in batches, as an audit.k8s.io/v1 EventList. No request waits for it:
 * what does not fit into the buffer, or cannot be sent with all tries, is counted and lost (k8s.io/apiserver/plugin/pkg/audit/webhook).
 */
import type { Logger } from '#shared/component/log.ts'
import { openWebhookBackend } from '../webhookbackend.ts'
import type { AuditBackend } from './auditor.ts'

export interface AuditWebhookOptions {
  /** A kubeconfig. */
  readonly file: string
  /** Events that may wait, those that are being sent among them. */
  readonly bufferSize: number
  /** Events of a batch, and how long the first of them waits for others, ms. */
  readonly maxSize: number
  readonly maxWaitMs: number
  /** Batches a second, and at once after a silence; absent for as many as there are. */
  readonly throttle?: { readonly qps: number; readonly burst: number }
  /** Before a batch is sent again for the first time. */
  readonly firstPauseMs: number
}

/** Bytes that may wait. */
const bufferBytes = 64 << 20
/** Batches on their way; a server that hangs takes no more of ours. */
const maxSending = 16
const tryMs = 30_000
const allTriesMs = 300_000
const closeMs = 5_000

/** Rejects when the file is no kubeconfig or names files that cannot be read. */
export async function openAuditWebhook(o: AuditWebhookOptions, log: Logger): Promise<AuditBackend> {
  const backend = await openWebhookBackend(o.file, {
    firstPauseMs: o.firstPauseMs,
    timeoutMs: tryMs,
    deadlineMs: allTriesMs,
    // Hardly anything is a reason to lose events.
    mayPass: () => true,
    onFailure: (attempt, e) => log.warn({ attempt, err: e.message }, 'the webhook for audit events failed'),
  })
  let lines: string[] = []
  let waiting = 0
  let bytes = 0
  let failed = 0
  let closed = false
  /** The time of what waits has come: it goes, though it is no full batch. */
  let due = false
  let wait: NodeJS.Timeout | undefined
  let throttled: NodeJS.Timeout | undefined
  const sending = new Set<Promise<void>>()
  const bucket = tokenBucket(o.throttle)

  async function send(batch: readonly string[]): Promise<void> {
    try {
      await backend.send(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${batch.join(',')}]}`)
    } catch {
      failed += batch.length
    }
    waiting -= batch.length
    for (const line of batch) bytes -= line.length
  }

  function pump(): void {
    while (lines.length >= o.maxSize || (due && lines.length > 0)) {
      // Called again when one has ended.
      if (sending.size >= maxSending) return
      const pauseMs = closed ? 0 : bucket()
      if (pauseMs > 0) {
        throttled ??= setTimeout(() => {
          throttled = undefined
          pump()
        }, pauseMs).unref()
        return
      }
      const batch = lines.slice(0, o.maxSize)
      lines = lines.slice(o.maxSize)
      const one = send(batch).finally(() => {
        sending.delete(one)
        pump()
      })
      sending.add(one)
    }
    if (lines.length === 0) {
      due = closed
      clearTimeout(wait)
      wait = undefined
    } else {
      wait ??= setTimeout(() => {
        wait = undefined
        due = true
        pump()
      }, o.maxWaitMs).unref()
    }
  }

  return {
    name: 'webhook',
    write(line) {
      if (closed || waiting >= o.bufferSize || bytes + line.length > bufferBytes) return false
      lines.push(line)
      waiting++
      bytes += line.length
      if (wait === undefined || lines.length >= o.maxSize) pump()
      return true
    },
    get failed() {
      return failed
    },
    async close() {
      closed = due = true
      pump()
      const late = new Promise(resolve => setTimeout(resolve, closeMs).unref())
      const all = (async () => {
        while (sending.size > 0) await Promise.all(sending)
      })()
      await Promise.race([all, late])
      clearTimeout(wait)
      clearTimeout(throttled)
      backend.close()
    },
  }
}

/** How long to wait before the next one, ms; 0 takes it. */
function tokenBucket(throttle: AuditWebhookOptions['throttle']): () => number {
  if (throttle === undefined) return () => 0
  const { qps, burst } = throttle
  let tokens = burst
  let last = performance.now()
  return () => {
    const now = performance.now()
    tokens = Math.min(burst, tokens + ((now - last) / 1000) * qps)
    last = now
    if (tokens < 1) return Math.ceil(((1 - tokens) / qps) * 1000)
    tokens--
    return 0
  }
}
