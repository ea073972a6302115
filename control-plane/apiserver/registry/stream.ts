/** The JetStream stream that holds all objects: its subjects, its messages and the few questions asked about it. */
import { headers, type Msg, type MsgHdrs, type NatsConnection } from 'nats'
import { fromToken, toToken } from '#shared/bus/subjects.ts'
import type { Table } from './registry.ts'

export const streamName = 'registry'

/** `registry.<group>.<resource>.<namespace|_>.<name>` */
export const subjectOf = (table: Table, namespace: string, name: string): string =>
  `registry.${toToken(table.group)}.${toToken(table.plural)}.${toToken(namespace)}.${toToken(name)}`

export interface Key {
  group: string
  plural: string
  namespace: string
  name: string
}
/** What a subject is about; undefined when it is no object's. */
export function keyOf(subject: string): Key | undefined {
  const [, group, plural, namespace, name, more] = subject.split('.')
  if (group === undefined || plural === undefined || namespace === undefined || name === undefined || more !== undefined) return undefined
  return { group: fromToken(group), plural: fromToken(plural), namespace: fromToken(namespace), name: fromToken(name) }
}

/** Tells a write whose acknowledgement was lost from another's. */
const writeIdHeader = 'Cox-Write'
/** The version of the object that the message replaces, 0 for none: tells a complete history from one with a hole. */
const replacesHeader = 'Cox-Replaces'

/** `after` is the sequence that must be the subject's last: that of the object, or of a tombstone. */
export function writeHeaders(writeId: string, replaces: number, after: number): MsgHdrs {
  const h = headers()
  h.set('Nats-Expected-Last-Subject-Sequence', String(after))
  h.set(writeIdHeader, writeId)
  h.set(replacesHeader, String(replaces))
  return h
}
export const writeIdOf = (h: MsgHdrs | undefined): string => h?.get(writeIdHeader) ?? ''
export const replacesOf = (h: MsgHdrs | undefined): number => Number(h?.get(replacesHeader) ?? 0)

/** An error that the JetStream API answered. */
export class JetStreamError extends Error {
  readonly code: number
  constructor(code: number, description: string) {
    super(description)
    this.name = 'JetStreamError'
    this.code = code
  }
}
export const wrongLastSequence = 10071
const streamNameInUse = 10058
const noMessageFound = 10037
const sequenceNotFound = 10043
const deletesTimeoutMs = 5000

/** One call of the JetStream API. Rejects with JetStreamError, or with NatsError when there was no answer in time. */
export async function jetStreamApi<T>(nats: NatsConnection, call: string, body: unknown = '', timeoutMs = 2000): Promise<T> {
  const answer = await nats.request(`$JS.API.${call}`, body === '' ? '' : JSON.stringify(body), { timeout: timeoutMs })
  const value = answer.json<T & { error?: { err_code?: number; code: number; description: string } }>()
  if (value.error) throw new JetStreamError(value.error.err_code ?? value.error.code, value.error.description)
  return value
}

/**
 * Creates the stream unless it is there. It has no limit of any kind: one version a subject would lose events for watchers, and the server
 * brings purged tombstones' objects back after a crash (nats-server issue 8505). The compactor takes the limits' place.
 */
export async function createStream(nats: NatsConnection, replicas: number): Promise<void> {
  const config = {
    name: streamName,
    subjects: [`${streamName}.>`],
    storage: 'file',
    retention: 'limits',
    discard: 'old',
    num_replicas: replicas,
    max_msgs_per_subject: -1,
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    max_consumers: -1,
  }
  await jetStreamApi(nats, `STREAM.CREATE.${streamName}`, config, 5000).catch((e: unknown) => {
    if (!(e instanceof JetStreamError && e.code === streamNameInUse)) throw e
  })
}

export interface StreamState {
  messages: number
  first_seq: number
  last_seq: number
}
export const streamInfo = `$JS.API.STREAM.INFO.${streamName}`

const lastSequence = /"last_seq":(\d+)/
/** Of an answer to `streamInfo`, which is long and parsed for nothing else. Throws JetStreamError. */
export function lastSequenceOf(answer: Msg): number {
  const found = lastSequence.exec(answer.string())
  if (found) return Number(found[1])
  const { error } = answer.json<{ error?: { err_code?: number; code: number; description: string } }>()
  throw new JetStreamError(error?.err_code ?? 0, error?.description ?? 'no last sequence')
}
export const streamState = async (nats: NatsConnection, timeoutMs?: number): Promise<StreamState> =>
  (await jetStreamApi<{ state: StreamState }>(nats, `STREAM.INFO.${streamName}`, '', timeoutMs)).state

/** The first sequence from `from` on that the stream holds; undefined when there is none. */
export async function nextSequence(nats: NatsConnection, from: number): Promise<number | undefined> {
  const question = { seq: from, next_by_subj: `${streamName}.>` }
  try {
    return (await jetStreamApi<{ message: { seq: number } }>(nats, `STREAM.MSG.GET.${streamName}`, question)).message.seq
  } catch (e) {
    if (e instanceof JetStreamError && e.code === noMessageFound) return undefined
    throw e
  }
}

export interface LastMessage {
  seq: number
  writeId: string
  tombstone: boolean
}
/** The newest message of a subject, from the stream's leader; undefined when there is none. */
export async function lastMessage(nats: NatsConnection, subject: string, timeoutMs = 2000): Promise<LastMessage | undefined> {
  try {
    const { message } = await jetStreamApi<{ message: { seq: number; hdrs?: string; data?: string } }>(
      nats,
      `STREAM.MSG.GET.${streamName}`,
      { last_by_subj: subject },
      timeoutMs,
    )
    const head = message.hdrs ? Buffer.from(message.hdrs, 'base64').toString() : ''
    return { seq: message.seq, writeId: new RegExp(`^${writeIdHeader}: (.*)\r$`, 'm').exec(head)?.[1] ?? '', tombstone: !message.data }
  } catch (e) {
    if (e instanceof JetStreamError && e.code === noMessageFound) return undefined
    throw e
  }
}

/** What the answer says about a message that is not there, or not any more (NewJSSequenceNotFoundError, and the file store's errors). */
const isGone = (e: { err_code?: number; description: string }): boolean =>
  e.err_code === sequenceNotFound || /no message found|stream store EOF/.test(e.description)

/**
 * How long a crash of the server may bring a deleted message back, ms, with room. 2.9 writes a block's deletions at the latest when it
 * syncs all blocks, every two minutes; from 2.10 on they are records in the stream of their own, which a purge does without (issue 8505).
 */
export const deletesSettleMs = 300_000

/**
 * Removes messages by their sequences, all at once; those that are gone already count as removed. Rejects with JetStreamError, or when an
 * answer does not come in time; some may be removed then. A purge of a subject would be durable at once, but it loads a block of messages
 * for each version, and with 2.9 compares every subject of the stream: 20 ms of processor time among 20,000 objects where a deletion takes
 * 0.07. With `erase` what they held is overwritten in the store's files at once, which takes four times as long; else it stays there until
 * their block is written anew.
 */
export async function deleteMessages(nats: NatsConnection, inbox: string, seqs: readonly number[], erase: boolean): Promise<void> {
  let left = seqs.length
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const subscription = nats.subscribe(inbox, {
    callback(e, m) {
      if (e) return reject(e)
      if (m.headers?.code === 503) return reject(new JetStreamError(503, 'no responders'))
      const { error } = m.json<{ error?: { err_code?: number; description: string } }>()
      if (error && !isGone(error)) return reject(new JetStreamError(error.err_code ?? 0, error.description))
      if (--left === 0) resolve()
    },
  })
  const timer = setTimeout(() => reject(new Error(`no answer within ${deletesTimeoutMs} ms`)), deletesTimeoutMs)
  try {
    for (const seq of seqs) nats.publish(`$JS.API.STREAM.MSG.DELETE.${streamName}`, `{"seq":${seq},"no_erase":${!erase}}`, { reply: inbox })
    await promise
  } finally {
    clearTimeout(timer)
    subscription.unsubscribe()
  }
}
