/** Audit: which requests are recorded, by the policy, and where their events go. There is none when no policy is given. */
import { Counter, type Registry as MetricsRegistry } from 'prom-client'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'
import { readConfigFile } from '#shared/component/configfile.ts'
import { AuditRecord } from './event.ts'
import type { ApiServerOptions } from '../options.ts'
import { openAuditLog } from './log.ts'
import { auditPolicy, evaluator } from './policy.ts'
import { openAuditWebhook } from './webhook.ts'

export interface Auditor {
  /** What a request's events are made of; undefined when the policy wants none. `user` is absent when nobody knows who it is. */
  begin(request: ApiRequest, info: RequestInfo, user: UserInfo | undefined, id: string): AuditRecord | undefined
  /** Writes what waits. */
  close(): Promise<void>
}

/** Where events go. */
export interface AuditBackend {
  /** As upstream's metrics call it. */
  readonly name: string
  /** Takes an event as a line of JSON. False when too much waits already: it is lost. */
  write(line: string): boolean
  /** Events that could not be delivered after all. */
  readonly failed: number
  close(): Promise<void>
}

export type AuditOptions = Pick<ApiServerOptions, Extract<keyof ApiServerOptions, `audit${string}`>>

const defaultMegabytes = 100

async function backendsOf(o: AuditOptions, log: Logger): Promise<AuditBackend[]> {
  const backends: AuditBackend[] = []
  if (o.auditLogPath !== undefined) {
    const file = {
      path: o.auditLogPath,
      maxBytes: (o.auditLogMaxsize || defaultMegabytes) << 20,
      maxBackups: o.auditLogMaxbackup,
      maxAgeMs: o.auditLogMaxage * 86_400_000,
      compress: o.auditLogCompress,
    }
    backends.push(await openAuditLog(file, log))
  }
  if (o.auditWebhookConfigFile !== undefined) {
    const webhook = {
      file: o.auditWebhookConfigFile,
      bufferSize: o.auditWebhookBatchBufferSize,
      maxSize: o.auditWebhookBatchMaxSize,
      maxWaitMs: o.auditWebhookBatchMaxWait,
      firstPauseMs: o.auditWebhookInitialBackoff,
      ...(o.auditWebhookBatchThrottleEnable
        ? { throttle: { qps: o.auditWebhookBatchThrottleQps, burst: o.auditWebhookBatchThrottleBurst } }
        : {}),
    }
    backends.push(await openAuditWebhook(webhook, log))
  }
  return backends
}

/** Undefined when the options ask for no audit. Rejects with one line when the policy is wrong or a backend cannot be opened. */
export async function newAuditor(o: AuditOptions, metrics: MetricsRegistry, log: Logger): Promise<Auditor | undefined> {
  const wanted = o.auditLogPath !== undefined || o.auditWebhookConfigFile !== undefined
  if (o.auditPolicyFile === undefined || !wanted) {
    if (wanted) log.warn('no audit policy file is given: nothing is recorded')
    return undefined
  }
  const evaluate = evaluator(
    await readConfigFile(o.auditPolicyFile, auditPolicy).catch((e: Error) => {
      throw new Error(`loading audit policy file: ${e.message}`)
    }),
  )
  const backends = await backendsOf(o, log)
  const registers = [metrics]
  const events = new Counter({ name: 'apiserver_audit_event_total', help: 'Audit events that were generated.', registers })
  const levels = new Counter({
    name: 'apiserver_audit_level_total',
    help: 'Policy levels of requests.',
    labelNames: ['level'],
    registers,
  })
  const lost = new Map(backends.map(({ name }) => [name, 0]))
  new Counter({
    name: 'apiserver_audit_error_total',
    help: 'Audit events that could not be written.',
    labelNames: ['plugin'],
    registers,
    collect() {
      this.reset()
      for (const { name, failed } of backends) this.inc({ plugin: name }, lost.get(name)! + failed)
    },
  })
  const emit = (line: string): void => {
    events.inc()
    for (const backend of backends) if (!backend.write(line)) lost.set(backend.name, lost.get(backend.name)! + 1)
  }
  return {
    begin(request, info, user, id) {
      const verdict = evaluate(user, info)
      levels.inc({ level: verdict.level })
      return verdict.level === 'None' ? undefined : new AuditRecord(verdict, request, info, user, id, emit)
    },
    close: async () => void (await Promise.all(backends.map(b => b.close()))),
  }
}
