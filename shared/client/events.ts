/** Writes Events as client-go's recorder does: asynchronously, counted, aggregated and limited, never throwing. */
import type { Event } from '../api/core/event.ts'
import { events } from '../api/kinds.ts'
import { logger, type Logger } from '../component/log.ts'
import { StatusError, isStatus } from '../machinery/status.ts'
import { formatTime } from '../machinery/time.ts'
import { backoff, sleep } from './backoff.ts'
import type { Client } from './client.ts'
import { correlator } from './correlator.ts'

/** What an event is about: an object, or a reference written as one. */
export interface Subject {
  apiVersion?: string | undefined
  kind?: string | undefined
  metadata: { name?: string | undefined; namespace?: string | undefined; uid?: string | undefined; resourceVersion?: string | undefined }
}
export interface EventRecorder {
  /** `fieldPath` names a part of the object: `spec.containers{web}`. */
  event(object: Subject, type: 'Normal' | 'Warning', reason: string, message: string, fieldPath?: string): void
  /** Resolves when what was recorded so far is written or given up, at most after `timeoutMs`. */
  flush(timeoutMs?: number): Promise<void>
}

const queueLimit = 1000
/** For how long an event may be held back. */
const holdMs = 1000
const tries = 12

let count = Math.floor(Math.random() * 1_000_000)

/** The Event of one occurrence, before counting. */
export function newEvent(
  subject: Subject,
  type: string,
  reason: string,
  message: string,
  component: string,
  host: string,
  at: number,
  fieldPath?: string,
): Event {
  const { name = '', namespace, uid, resourceVersion } = subject.metadata
  const time = formatTime(new Date(at))
  return {
    apiVersion: 'v1',
    kind: 'Event',
    // The time in nanoseconds, in hexadecimal, makes the name unique; a count stands in for what the clock lacks in resolution.
    metadata: {
      name: `${name}.${(BigInt(Math.floor(at)) * 1_000_000n + BigInt(count++ % 1_000_000)).toString(16)}`,
      namespace: namespace || 'default',
    },
    involvedObject: {
      kind: subject.kind ?? '',
      ...(namespace ? { namespace } : {}),
      name,
      ...(uid ? { uid } : {}),
      apiVersion: subject.apiVersion ?? '',
      ...(resourceVersion ? { resourceVersion } : {}),
      ...(fieldPath ? { fieldPath } : {}),
    },
    reason,
    message: message.length > 1024 ? message.slice(0, 1024) : message,
    source: { component, ...(host ? { host } : {}) },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    type,
    reportingComponent: component,
    reportingInstance: host,
  } as Event
}

/**
 * A recorder whose events come from `component`, on `host` when it is a node. `quiet` resolves when there is nothing better to do, at the
 * latest after the milliseconds it is given: events wait for it, for a second at most.
 */
export function eventRecorder(
  client: Client,
  component: string,
  host = '',
  log: Logger = logger(component),
  quiet?: (maxMs: number) => Promise<void>,
): EventRecorder {
  const correlate = correlator()
  const queue: { event: Event; at: number }[] = []
  const idle = new Set<() => void>()
  const forever = new AbortController().signal
  let running = false

  async function write(event: Event): Promise<void> {
    const decided = correlate.next(event, Date.now())
    if (!decided) return
    let { update } = decided
    const pause = backoff(250, 10_000)
    for (let n = 0; n < tries; n++) {
      try {
        const { name = '', namespace = '' } = decided.event.metadata
        if (update) {
          const { count, message, lastTimestamp } = decided.event
          correlate.written(decided.key, await client.patch(events, namespace, name, 'strategic', { count, message, lastTimestamp }))
        } else correlate.written(decided.key, await client.create(events, namespace, decided.event))
        return
      } catch (e) {
        if (update && isStatus(e, 'NotFound')) {
          update = false
          continue
        }
        // Refused for good: a namespace that terminates, an invalid event, one that is there already.
        if (e instanceof StatusError && e.code < 500 && e.code !== 429) {
          if (!isStatus(e, 'AlreadyExists')) log.debug({ event: decided.event.metadata.name, err: e.message }, 'event refused')
          return
        }
        await sleep(pause.next(), forever)
      }
    }
    log.warn({ event: decided.event.metadata.name, reason: event.reason }, 'event dropped: the API did not take it')
  }
  async function drain(): Promise<void> {
    running = true
    try {
      for (let next = queue[0]; next; next = queue[0]) {
        if (idle.size === 0) await quiet?.(next.at + holdMs - performance.now())
        queue.shift()
        await write(next.event)
      }
    } finally {
      running = false
      for (const done of idle) done()
      idle.clear()
    }
  }
  return {
    event(object, type, reason, message, fieldPath) {
      if (queue.length >= queueLimit) return log.warn({ object: object.metadata.name, reason }, 'event dropped: too many are waiting')
      queue.push({ event: newEvent(object, type, reason, message, component, host, Date.now(), fieldPath), at: performance.now() })
      if (!running) drain().catch((e: unknown) => log.error({ err: e }, 'recording events failed'))
    },
    async flush(timeoutMs = 1000) {
      if (!running) return
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, timeoutMs)
        idle.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    },
  }
}
