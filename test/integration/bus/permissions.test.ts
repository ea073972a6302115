import { connect } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus, type BusConnection } from '#shared/bus/connection.ts'
import { createAuthority, mintCreds } from '#shared/bus/credentials.ts'
import { openSession, serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { serveApi } from '#control-plane/apiserver/bus/serve.ts'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { get, recordedLog } from './setup.ts'

let nats: NatsFixture
let node: BusConnection
let apiserver: BusConnection
const { log, lines } = recordedLog()
beforeAll(async () => {
  nats = await startNats()
  apiserver = await nats.connect('system:apiserver')
  node = await nats.connect('system:node:node-1')
})
afterAll(() => nats?.stop())

const refusedTo = async (connection: BusConnection, subject: string) => {
  await expect(connection.nats.request(subject, '', { timeout: 5000 }), `publish to ${subject}`).rejects.toMatchObject({
    code: 'PERMISSIONS_VIOLATION',
  })
}
const refusedFrom = async (connection: BusConnection, subject: string) => {
  const refusal = new Promise(resolve => connection.nats.subscribe(subject, { callback: (e, m) => resolve(e ?? m) }))
  expect(await refusal, `subscribe to ${subject}`).toMatchObject({ code: 'PERMISSIONS_VIOLATION' })
}
const foreign = [
  'registry._.pods.default.x',
  '$JS.API.INFO',
  '$JS.API.STREAM.DELETE.registry',
  '$SYS.REQ.SERVER.PING',
  'api.system:node:node-2',
  'api.system:apiserver',
  'api.system:node:node-2.all',
  '_INBOX.system:apiserver.x',
  '_INBOX.system:node:node-2.x.y',
  'node.system:node:node-2.exec',
]
const listening = [
  '>',
  'api.>',
  'api.*',
  'api.system:node:node-1',
  'registry.>',
  '_INBOX.>',
  '_INBOX.system:node:node-2.>',
  '_INBOX.*.>',
  'node.>',
  'node.system:node:node-2.>',
  '$JS.>',
  '$SYS.>',
]

describe("a node's credential", () => {
  test.each([...foreign, 'node.system:node:node-1.exec'])('may not publish to %s', subject => refusedTo(node, subject))
  test.each(listening)('may not subscribe to %s', subject => refusedFrom(node, subject))

  test('may not answer where a message says, if it may not publish there', async () => {
    const reply = '_INBOX.system:node:node-2.x'
    const told = new Promise<string | undefined>(resolve =>
      node.nats.subscribe('node.system:node:node-1.>', { callback: (_, m) => resolve(m.reply), max: 1 }),
    )
    await node.nats.flush()
    apiserver.nats.publish('node.system:node:node-1.logs', '', { reply })
    expect(await told).toBe(reply)
    await refusedTo(node, reply)
  })

  test('may ask below its own name and listen to its own sessions', async () => {
    const seen = new Promise<string>(resolve =>
      apiserver.nats.subscribe('api.system:node:node-1.session.x', { callback: (_, m) => resolve(m.string()), max: 1 }),
    )
    await apiserver.nats.flush()
    node.nats.publish('api.system:node:node-1.session.x', 'hello')
    expect(await seen).toBe('hello')
    const asked = new Promise<string>(resolve =>
      node.nats.subscribe('node.system:node:node-1.>', { callback: (_, m) => resolve(m.subject), max: 1 }),
    )
    await node.nats.flush()
    apiserver.nats.publish('node.system:node:node-1.exec', '')
    expect(await asked).toBe('node.system:node:node-1.exec')
  })

  test('does not reach the registry, nor another, through the reply subject of a request', async () => {
    const registry = await openRegistry({ connection: await nats.connect('registry'), log })
    const service = serveApi(apiserver, async () => ({ code: 200, headers: {}, body: Buffer.from('evil') }), { log })
    const victim = await nats.connect('system:node:node-2')
    const heard: string[] = []
    victim.nats.subscribe('_INBOX.system:node:node-2.>', { callback: (_, m) => void heard.push(m.subject) })
    apiserver.nats.subscribe('_INBOX.system:apiserver.>', { callback: (_, m) => void heard.push(m.subject) })
    await Promise.all([apiserver.nats.flush(), victim.nats.flush()])
    const targets = [
      'registry._.pods.default.evil',
      '$JS.API.STREAM.DELETE.registry',
      '_INBOX.system:node:node-2.a.b',
      '_INBOX.system:apiserver.a.b',
      'node.system:node:node-2.exec',
      'api.system:node:node-2',
    ]
    for (const reply of targets) node.nats.publish('api.system:node:node-1', '', { reply })
    const transport = natsTransport(node)
    expect((await get(transport, '/')).code).toBe(200)
    await registry.fresh()
    expect([registry.version, heard]).toEqual([0, []])
    expect(lines.filter(l => l['msg'] === 'a message on the bus was dropped').map(l => l['reply'])).toEqual(targets)
    await transport.close()
    await service.close()
    await registry.close()
  })
})

describe('a session with a hostile node', () => {
  const injected = (subject: string, body = '') =>
    `_INBOX.system:node:node-1.x 0\r\n\r\nPUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\nPUB _INBOX.system:node:node-1.x`
  const hostile = [
    injected('_INBOX.system:node:node-2.x.y'),
    injected('api.system:apiserver', '{}'),
    injected('node.system:node:node-2.exec', '{"session":"evil","open":{}}'),
    '_INBOX.system:node:node-2.x',
    '_INBOX.system:admin.x.1',
    'node.system:node:node-2.exec',
    'api.system:node:node-1',
    'registry._.pods.default.x',
    '_INBOX.*.x',
    '_INBOX.system:node:node-1.*',
    '_INBOX.system:node:node-1.>',
    '_INBOX.system:node:node-1.',
    '_INBOX.system:node:node-1.x.y',
    '_INBOX.system:node:node-1.x y',
    '_INBOX.system:node:node-1.x\n',
    '_INBOX.system:node:node-10.x',
    '',
  ]

  test('names no subject but an inbox of its own', async () => {
    const heard: string[] = []
    const listen = async (identity: string, subject: string) => {
      const connection = await nats.connect(identity)
      connection.nats.subscribe(subject, { callback: (_, m) => void heard.push(m.subject) })
      await connection.nats.flush()
    }
    await listen('system:node:node-2', '_INBOX.system:node:node-2.>')
    await listen('system:node:node-2', 'node.system:node:node-2.>')
    await listen('system:admin', '_INBOX.system:admin.>')
    await listen('system:apiserver', 'api.system:apiserver')
    let accept = ''
    const subscription = node.nats.subscribe(nodeSubject(node.identity, 'logs'), {
      callback: (_, m) => {
        const text = Buffer.from(accept)
        const frame = Buffer.alloc(6 + text.length)
        frame[0] = 1
        text.copy(frame, 6)
        node.nats.publish(m.reply!, frame)
      },
    })
    await node.nats.flush()
    for (accept of hostile)
      await expect(openSession(apiserver, nodeSubject(node.identity, 'logs'), {}), JSON.stringify(accept)).rejects.toThrow(
        'does not name an inbox of its own',
      )
    await apiserver.nats.flush()
    expect(heard).toEqual([])
    subscription.unsubscribe()
  })

  test('a node answers only where a session of its own can be', async () => {
    let opened = 0
    const service = serveSessions(node, nodeSubject(node.identity, 'attach'), async () => void opened++, log)
    await node.nats.flush()
    lines.length = 0
    const replies = [
      '_INBOX.system:node:node-1.x',
      'api.system:node:node-2.session.x',
      'api.system:node:node-1',
      'api.system:node:node-1.session.x.y',
    ]
    for (const reply of replies) apiserver.nats.publish(nodeSubject(node.identity, 'attach'), '{"session":"a","open":{}}', { reply })
    ;(await openSession(apiserver, nodeSubject(node.identity, 'attach'), {})).close()
    expect(opened).toBe(1)
    expect(lines.filter(l => l['msg'] === 'a message on the bus was dropped').map(l => l['reply'])).toEqual(replies)
    service.close()
  })
})

test('nothing is published or subscribed to that NATS would read as more than a subject', () => {
  const bad = ['a b', 'a\r\nPUB b 0\r\n', 'a\n', 'a\0', 'a\t', '', 'a.*', '>', 'a.>']
  for (const subject of bad) expect(() => apiserver.nats.publish(subject, ''), subject).toThrow()
  for (const reply of [...bad, '$JS.API.*'].filter(r => r !== ''))
    expect(() => apiserver.nats.publish('node.x.y', '', { reply }), reply).toThrow()
  for (const subject of bad.filter(s => !/[*>]/.test(s))) expect(() => apiserver.nats.subscribe(subject), subject).toThrow()
  expect(() => apiserver.nats.subscribe('node.x.y', { queue: 'a b' })).toThrow()
})

describe('other credentials', () => {
  test('a component reaches no other', async () => {
    const scheduler = await nats.connect('system:kube-scheduler')
    for (const subject of [...foreign, 'api.system:node:node-1', 'node.system:node:node-1.exec']) await refusedTo(scheduler, subject)
    for (const subject of [...listening, 'node.system:kube-scheduler.>', '_INBOX.system:node:node-1.>'])
      await refusedFrom(scheduler, subject)
  })

  test('an API server of the bus does not reach JetStream with it', async () => {
    await refusedTo(apiserver, '$JS.API.INFO')
    await refusedTo(apiserver, 'registry._.pods.default.x')
    for (const subject of [
      'api.system:apiserver',
      'api.system:apiserver.all',
      'api.system:node:node-1',
      'api.system:node:node-1.session.x',
    ])
      await refusedTo(apiserver, subject)
    await refusedFrom(apiserver, 'registry.>')
    await refusedFrom(apiserver, '_INBOX.>')
  })

  test('the registry account and the bus do not hear each other', async () => {
    const registry = await nats.connect('registry')
    const heard: string[] = []
    apiserver.nats.subscribe('api.>', { callback: (_, m) => void heard.push(m.subject) })
    registry.nats.subscribe('api.>', { callback: (_, m) => void heard.push(m.subject) })
    await Promise.all([apiserver.nats.flush(), registry.nats.flush()])
    registry.nats.publish('api.system:admin', '')
    await registry.nats.flush()
    await apiserver.nats.flush()
    expect(heard).toEqual(['api.system:admin'])
  })

  test('nobody enters without credentials, or with those of another cluster', async () => {
    await expect(connect({ servers: nats.url, reconnect: false })).rejects.toMatchObject({ code: 'AUTHORIZATION_VIOLATION' })
    await expect(connect({ servers: nats.url, reconnect: false, user: 'system:admin', pass: '' })).rejects.toMatchObject({
      code: 'AUTHORIZATION_VIOLATION',
    })
    const dir = await mkdtemp(join(tmpdir(), 'cox-creds-'))
    try {
      const credsFile = join(dir, 'other.creds')
      await writeFile(credsFile, await mintCreds(await createAuthority(), 'system:admin'))
      await expect(connectBus({ url: nats.url, credsFile, log })).rejects.toThrow(
        /^cannot connect to .* as system:admin: AUTHORIZATION_VIOLATION$/,
      )
      await writeFile(credsFile, 'nonsense')
      await expect(connectBus({ url: nats.url, credsFile, log })).rejects.toThrow('not a NATS credentials file')
      await expect(
        connectBus({ url: nats.url, credsFile: await nats.creds('system:node:node-1'), identity: 'system:node:node-2', log }),
      ).rejects.toThrow('is of system:node:node-1, not of system:node:node-2')
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
