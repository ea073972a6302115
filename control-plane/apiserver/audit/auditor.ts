/** Audit: which requests are recorded, by the policy, and where their events go. There is none when no policy is given. */
import { Counter, type Registry as MetricsRegistry } from 'prom-client'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'
import { readConfigFile } from '../configfile.ts'
import { AuditRecord } from './event.ts'
import { openAuditLog } from './log.ts'
import { auditPolicy, evaluator } from './policy.ts'

export interface Auditor {
  /** What a request's events are made of; undefined when the policy wants none. `user` is absent when nobody knows who it is. */
  begin(request: ApiRequest, info: RequestInfo, user: UserInfo | undefined, id: string): AuditRecord | undefined
  /** Writes what waits. */
  close(): Promise<void>
}

export interface AuditOptions {
  readonly auditPolicyFile?: string | undefined
  readonly auditLogPath?: string | undefined
  /** Megabytes of a file, and how many rotated ones are kept, for how many days; 0 for all, and for ever. */
  readonly auditLogMaxsize: number
  readonly auditLogMaxbackup: number
  readonly auditLogMaxage: number
  readonly auditLogCompress: boolean
}

const defaultMegabytes = 100

/** Undefined when the options ask for no audit. Rejects with one line when the policy is wrong or the log cannot be opened. */
export async function newAuditor(o: AuditOptions, metrics: MetricsRegistry, log: Logger): Promise<Auditor | undefined> {
  if (o.auditPolicyFile === undefined || o.auditLogPath === undefined) {
    if (o.auditLogPath !== undefined) log.warn('no audit policy file is given: nothing is recorded')
    return undefined
  }
  const evaluate = evaluator(
    await readConfigFile(o.auditPolicyFile, auditPolicy).catch((e: Error) => {
      throw new Error(`loading audit policy file: ${e.message}`)
    }),
  )
  const file = await openAuditLog(
    {
      path: o.auditLogPath,
      maxBytes: (o.auditLogMaxsize || defaultMegabytes) << 20,
      maxBackups: o.auditLogMaxbackup,
      maxAgeMs: o.auditLogMaxage * 86_400_000,
      compress: o.auditLogCompress,
    },
    log,
  )
  const registers = [metrics]
  const events = new Counter({ name: 'apiserver_audit_event_total', help: 'Audit events that were generated.', registers })
  const levels = new Counter({
    name: 'apiserver_audit_level_total',
    help: 'Policy levels of requests.',
    labelNames: ['level'],
    registers,
  })
  let lost = 0
  const errors = new Counter({
    name: 'apiserver_audit_error_total',
    help: 'Audit events that could not be written.',
    labelNames: ['plugin'],
    registers,
    collect() {
      this.reset()
      this.inc({ plugin: 'log' }, lost + file.failed)
    },
  })
  errors.inc({ plugin: 'log' }, 0)
  const emit = (line: string): void => {
    events.inc()
    if (!file.write(line)) lost++
  }
  return {
    begin(request, info, user, id) {
      const verdict = evaluate(user, info)
      levels.inc({ level: verdict.level })
      return verdict.level === 'None' ? undefined : new AuditRecord(verdict, request, info, user, id, emit)
    },
    close: () => file.close(),
  }
}
