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

/**
 * Before 2.9.12 a purge of one subject moves every consumer that has it to what the purge left, over messages that it has not delivered. It
 * spares consumers whose filter does not cover the purge's; `*.x` is not covered by `registry.>`, yet the stream holds no other `*.x` than
 * `registry.x`.
 */
const purgeMovesConsumers = (nats: NatsConnection): boolean => {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(nats.info?.version ?? '') ?? []
  return Number(major) === 2 && (Number(minor) < 9 || (Number(minor) === 9 && Number(patch) < 12))
}
export const consumerFilter = (nats: NatsConnection): { filter_subject?: string } =>
  purgeMovesConsumers(nats) ? { filter_subject: `${streamName}.>` } : {}

/** Removes all messages of a subject before `seq`. The compactor's only tool: `deleteMessage` and wildcards with `keep` lose to crashes. */
export const purgeBefore = (nats: NatsConnection, subject: string, seq: number): Promise<unknown> => {
  const filter = purgeMovesConsumers(nats) ? subject.replace(streamName, '*') : subject
  return jetStreamApi(nats, `STREAM.PURGE.${streamName}`, { filter, seq }, 5000)
}
