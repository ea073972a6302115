/** Writes Events as client-go's recorder does: asynchronously, counted, aggregated and limited, never throwing. */
import type { Event } from '../api/core/event.ts'
import { events } from '../api/kinds.ts'
import { logger, type Logger } from '../component/log.ts'
import { fnv32a } from '../machinery/hash.ts'
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
  /** `fieldPath` names a part of the object: `spec.containers{web}`; `annotations` are the event's own. */
  event(
    object: Subject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
    annotations?: { [key: string]: string },
  ): void
  /** Resolves when what was recorded so far is written or given up, at most after `timeoutMs`. */
  flush(timeoutMs?: number): Promise<void>
}

/** How much the events that wait may take in memory, by estimate. */
const limitBytes = 24 * 1024 * 1024
/** When so much waits, what is more urgent has to share. */
const crowdedBytes = 0.75 * limitBytes
/**
 * How many are written at the same time. Those of one object are written one after the other: counting up needs what was written before.
 */
const lanes = 16
/** For how long an event may be held back, unless its recorder says otherwise. */
const usualHoldMs = 1000
const tries = 12
/** About what an Event takes besides its texts. */
const eventBytes = 1024

interface Waiting {
  readonly event: Event
  /** performance.now() when it was recorded. */
  readonly at: number
  readonly bytes: number
}

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
  annotations?: { [key: string]: string },
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
      ...(annotations ? { annotations } : {}),
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
 * latest after the milliseconds it is given: events wait for it, for `holdMs` at most.
 */
export function eventRecorder(
  client: Client,
  component: string,
  host = '',
  log: Logger = logger(component),
  quiet?: (maxMs: number) => Promise<void>,
  holdMs = usualHoldMs,
): EventRecorder {
  const correlate = correlator()
  const queues = Array.from({ length: lanes }, () => new Map<string, Waiting>())
  const running = new Set<number>()
  const idle = new Set<() => void>()
  const forever = new AbortController().signal
  let bytes = 0
  /** Since there was no room. */
  let dropped = 0

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
  async function drain(lane: number): Promise<void> {
    const queue = queues[lane]!
    running.add(lane)
    try {
      for (let next = queue.entries().next().value; next; next = queue.entries().next().value) {
        const [key, waiting] = next
        if (idle.size === 0 && bytes < crowdedBytes) await quiet?.(waiting.at + holdMs - performance.now())
        queue.delete(key)
        bytes -= waiting.bytes
        if (dropped > 0 && bytes < limitBytes / 2) {
          log.warn({ dropped }, 'events dropped: too many were waiting')
          dropped = 0
        }
        await write(waiting.event)
      }
    } finally {
      running.delete(lane)
      if (running.size === 0) {
        for (const done of idle) done()
        idle.clear()
      }
    }
  }
  /** Adds the event to those that wait; the same one as one of them counts that up. */
  function enqueue(event: Event): void {
    const { involvedObject: o } = event
    const lane = fnv32a(o.uid ?? `${o.namespace}/${o.name}`) % lanes
    const queue = queues[lane]!
    const key = [o.uid, o.kind, o.namespace, o.name, o.fieldPath, event.type, event.reason, event.message].join('\0')
    const same = queue.get(key)
    if (same) {
      same.event.count = (same.event.count ?? 1) + 1
      same.event.lastTimestamp = event.lastTimestamp
      return
    }
    const size = eventBytes + 2 * key.length
    if (bytes + size > limitBytes) return void dropped++
    bytes += size
    queue.set(key, { event, at: performance.now(), bytes: size })
    if (!running.has(lane)) drain(lane).catch((e: unknown) => log.error({ err: e }, 'recording events failed'))
  }
  return {
    event(object, type, reason, message, fieldPath, annotations) {
      enqueue(newEvent(object, type, reason, message, component, host, Date.now(), fieldPath, annotations))
    },
    async flush(timeoutMs = 1000) {
      if (running.size === 0) return
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
