import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from 'vitest'
import type { BusConnection } from '#shared/bus/connection.ts'
import { Channel, type Session } from '#shared/bus/session.ts'
import { openSession, serveSessions, type SessionService } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { recordedLog, until } from './setup.ts'

const identity = 'system:node:node-1.example.com'
const subject = nodeSubject(identity, 'exec')
let nats: NatsFixture
let server: BusConnection
let node: BusConnection
let service: SessionService
let handler: (session: Session) => Promise<void>
let accepted: Session[]
const { log, lines } = recordedLog()
beforeAll(async () => {
  nats = await startNats()
  server = await nats.connect('system:apiserver')
  node = await nats.connect(identity)
})
afterAll(() => nats?.stop())
beforeEach(async () => {
  accepted = []
  service = serveSessions(node, subject, async session => (accepted.push(session), handler(session)), log)
  await node.nats.flush()
})
afterEach(() => service.close())

const all = async (pieces: AsyncIterable<Uint8Array>) => Buffer.concat(await Array.fromAsync(pieces))
const text = async (pieces: AsyncIterable<Uint8Array>) => (await all(pieces)).toString()
const untilClosed = (session: Session) =>
  new Promise<string>(resolve => session.signal.addEventListener('abort', () => resolve((session.signal.reason as Error).message)))

test('channels in both directions, ended one by one', async () => {
  handler = async session => {
    expect(session.open).toEqual({ command: ['cat'], tty: false })
    const input = await text(session.read(Channel.stdin))
    await session.send(Channel.stdout, Buffer.from(`out: ${input}`))
    await session.send(Channel.stderr, Buffer.from('err'))
    session.end(Channel.stdout)
    session.end(Channel.stderr)
    await session.send(Channel.error, Buffer.from('{"status":"Success"}'))
  }
  const session = await openSession(server, subject, { command: ['cat'], tty: false })
  const closed = untilClosed(session)
  await session.send(Channel.stdin, Buffer.from('hello '))
  await session.send(Channel.stdin, Buffer.from('world'))
  session.end(Channel.stdin)
  expect(
    await Promise.all([text(session.read(Channel.stdout)), text(session.read(Channel.stderr)), text(session.read(Channel.error))]),
  ).toEqual(['out: hello world', 'err', '{"status":"Success"}'])
  expect(await closed).toBe('closed by the other side')
})

test('20 MB through, and back-pressure per channel', async () => {
  const size = 20 << 20
  let sent = 0
  handler = async session => {
    const stalled = (async () => {
      for (let i = 0; i < size; i += 1 << 16) {
        await session.send(Channel.stdout, Buffer.alloc(1 << 16, i >> 16))
        sent += 1 << 16
      }
      session.end(Channel.stdout)
    })()
    // A channel that nobody reads does not hold up the other.
    await session.send(Channel.stderr, Buffer.alloc(5 << 20, 'e'))
    session.end(Channel.stderr)
    await stalled
  }
  const session = await openSession(server, subject, {})
  expect((await all(session.read(Channel.stderr))).length).toBe(5 << 20)
  expect(sent).toBeLessThanOrEqual(2 << 20)
  const out = await all(session.read(Channel.stdout))
  expect(out.length).toBe(size)
  for (let i = 0; i < size; i += 1 << 16) expect(out[i]).toBe((i >> 16) & 0xff)
})

test('nobody there, and nobody answering', async () => {
  await expect(openSession(server, nodeSubject('system:node:node-2', 'exec'), {})).rejects.toThrow('nobody serves that')
  const silent = node.nats.subscribe(nodeSubject(identity, 'logs'), { callback: () => {} })
  await node.nats.flush()
  await expect(openSession(server, nodeSubject(identity, 'logs'), {}, { timeoutMs: 50 })).rejects.toThrow(
    `no answer from ${nodeSubject(identity, 'logs')} in 50 ms`,
  )
  silent.unsubscribe()
})

test('closing ends what waits on both sides', async () => {
  let failure: unknown
  handler = async session => {
    try {
      for (;;) await session.send(Channel.stdout, Buffer.alloc(1 << 16))
    } catch (e) {
      failure = e
    }
  }
  const session = await openSession(server, subject, {})
  const reading = all(session.read(Channel.stderr))
  session.close('enough')
  session.close('twice')
  expect((await reading).length).toBe(0)
  await until(() => failure !== undefined, 'the sender to notice')
  expect((failure as Error).message).toBe('enough')
  await expect(session.send(Channel.stdin, Buffer.from('x'))).rejects.toThrow('enough')
})

test('a handler that fails closes the session with the reason', async () => {
  handler = () => Promise.reject(new Error('no such container'))
  const session = await openSession(server, subject, {})
  expect(session.signal.aborted ? (session.signal.reason as Error).message : await untilClosed(session)).toBe('no such container')
})

test('the other side dies: noticed by a heartbeat', async () => {
  const dying = await nats.connect('system:node:dying')
  serveSessions(
    dying,
    nodeSubject('system:node:dying', 'exec'),
    session => new Promise(resolve => session.signal.addEventListener('abort', () => resolve())),
    log,
  )
  await dying.nats.flush()
  const session = await openSession(server, nodeSubject('system:node:dying', 'exec'), {})
  const closed = untilClosed(session)
  await dying.close()
  expect(await closed).toBe('nobody listens there any more')
})

test('garbage opens nothing', async () => {
  lines.length = 0
  handler = async () => {}
  for (const data of ['', 'x', '{}', '[]', 'null', '{"session":1,"open":1}'])
    server.nats.publish(subject, data, { reply: 'api.x.session.y' })
  server.nats.publish(subject, '{"session":"a","open":1}')
  const session = await openSession(server, subject, {})
  expect(accepted.length).toBe(1)
  expect(lines.length).toBe(7)
  session.close()
})
