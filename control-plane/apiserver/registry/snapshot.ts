/** The stream as a file, and back, by the JetStream API: sequences stay what they are, so that versions do. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInbox, type NatsConnection } from 'nats'
import * as z from 'zod'
import { inboxPrefix } from '#shared/bus/subjects.ts'
import { jetStreamApi, streamName } from './stream.ts'

const chunkBytes = 256 * 1024
/** Of one answer, and between two chunks. */
const patienceMs = 60_000

const descriptionSchema = z.object({ config: z.looseObject({}), state: z.looseObject({ last_seq: z.number(), messages: z.number() }) })
/** What JetStream says of the stream, with which it is made again. */
export type StreamDescription = z.infer<typeof descriptionSchema>

interface Connection {
  nats: NatsConnection
  identity: string
}

/** Writes the stream, without consumers, to a file, which is on disk then; nothing may be written to the stream meanwhile. */
export async function saveStream({ nats, identity }: Connection, file: string): Promise<StreamDescription> {
  const deliver = createInbox(inboxPrefix(identity))
  const subscription = nats.subscribe(deliver)
  const late = (): void => void subscription.unsubscribe()
  let timer = setTimeout(late, patienceMs)
  const target = await open(file, 'w', 0o600)
  try {
    const question = { deliver_subject: deliver, no_consumers: true, chunk_size: chunkBytes, jsck: true }
    const told = descriptionSchema.parse(await jetStreamApi(nats, `STREAM.SNAPSHOT.${streamName}`, question, patienceMs))
    let whole = false
    for await (const message of subscription) {
      clearTimeout(timer)
      timer = setTimeout(late, patienceMs)
      if (message.data.length === 0) {
        // An empty one is the end; with a status other than that of the end it tells what went wrong.
        if (message.headers && message.headers.code >= 400) throw new Error(`the snapshot broke off: ${message.headers.description}`)
        whole = true
        break
      }
      await target.writeFile(message.data)
      message.respond()
    }
    if (!whole) throw new Error('the snapshot broke off')
    await target.sync()
    return told
  } finally {
    clearTimeout(timer)
    subscription.unsubscribe()
    await target.close()
  }
}

/** Makes the stream of a file, with so many copies. Rejects when it is there already, or is not what it was. */
export async function restoreStream(
  nats: NatsConnection,
  file: string,
  { config, state }: StreamDescription,
  replicas: number,
): Promise<void> {
  const question = { config: { ...config, num_replicas: replicas }, state }
  const { deliver_subject: deliver } = await jetStreamApi<{ deliver_subject: string }>(
    nats,
    `STREAM.RESTORE.${streamName}`,
    question,
    patienceMs,
  )
  const send = async (chunk: Uint8Array): Promise<string> => {
    const answer = await nats.request(deliver, chunk, { timeout: patienceMs })
    const text = answer.string()
    const { error } = text.startsWith('{') ? (JSON.parse(text) as { error?: { description: string } }) : {}
    if (error) throw new Error(`the snapshot is not taken: ${error.description}`)
    return text
  }
  for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes })) await send(chunk as Buffer)
  const made = descriptionSchema.parse(JSON.parse(await send(new Uint8Array())))
  if (made.state.last_seq !== state.last_seq || made.state.messages !== state.messages)
    throw new Error(
      `the store has ${made.state.messages} messages up to ${made.state.last_seq}, not ${state.messages} up to ${state.last_seq}`,
    )
}
