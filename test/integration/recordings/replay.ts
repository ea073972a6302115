/** Replays the recordings against an API server: makes the objects they need, sends each request and compares the answer. */
import type { Rest } from '../../fixtures/apiserver.ts'
import { difference, type Answer } from './compare.ts'
import { newer } from './differences.ts'
import { fillIn, manifests, recordings, type RecordedRequest, type Recording } from './recording.ts'

export type Send = (request: RecordedRequest) => Promise<Answer>
export interface Outcome {
  recording: Recording
  answer: Answer
  /** What differs; undefined when the answer is as recorded. */
  difference: string | undefined
}

/** Sends to a server under test; of a watch only the code is looked at. */
export const sendTo =
  (rest: Rest): Send =>
  async ({ method, path, headers, body }) => {
    if (!path.includes('/watch/')) return rest(method, path, body, headers ? { headers } : {})
    const watch = await rest.watch(path)
    watch.stop()
    return { code: watch.code, body: '' }
  }

const atOnce = 16

/**
 * Sends everything; the server must be empty but for what it makes itself, with the ServiceAccount admission off, as it was when the
 * recordings were made. First the requests that create, with nothing there; then the objects are made, and the others are about them.
 * Rejects when an object cannot be made.
 */
export async function replay(send: Send): Promise<Outcome[]> {
  const all = recordings()
  for (const name of ['rec', 'rec2'])
    await make(send, '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }, name)
  const creating = await each(
    send,
    all.filter(r => /^(create|mutate)\//.test(r.id)),
  )
  for (const { name, path, manifest } of manifests(all)) await make(send, path, manifest, name)
  // What an earlier request of the recording left behind.
  await make(send, '/api/v1/namespaces/rec/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } }, 'a')
  return [
    ...creating,
    ...(await each(
      send,
      all.filter(r => !/^(create|mutate)\//.test(r.id)),
    )),
  ]
}

async function each(send: Send, chosen: readonly Recording[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const stored = new Map<string, Promise<Answer>>()
  const storedAt = (path: string): Promise<Answer> => {
    const plain = path.split('?')[0]!
    if (!stored.has(plain)) stored.set(plain, send({ method: 'GET', path: plain }))
    return stored.get(plain)!
  }
  let next = 0
  const work = async (): Promise<void> => {
    while (next < chosen.length) {
      const i = next++
      const recording = chosen[i]!
      const { request } = recording
      const body = request.method === 'PUT' ? fillIn(asToday(request.body), (await storedAt(request.path)).body) : request.body
      const answer = await send({ ...request, ...(body === undefined ? {} : { body }) })
      outcomes[i] = { recording, answer, difference: difference(recording, answer) }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return outcomes
}

async function make(send: Send, path: string, body: unknown, name: string): Promise<void> {
  const answer = await send({ method: 'POST', path, body })
  if (answer.code !== 201) throw new Error(`${name} could not be made: ${answer.code} ${JSON.stringify(answer.body)}`)
}

const asToday = (body: unknown): unknown =>
  JSON.parse(newer.reduce((text, { text: old, as }) => text.replace(old, as), JSON.stringify(body ?? null)))
