/** Forwarding to real resolvers on this machine. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { decode, encode, type Answer, type Packet } from 'dns-packet'
import { afterEach, expect, test } from 'vitest'
import { parseCorefile } from '#shared/network/corefile.ts'
import { newRouter } from '#node-agent/dns/router.ts'
import type { Forwarder } from '#node-agent/dns/forward.ts'

const sockets: Socket[] = []
const routers: Forwarder[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close()
  for (const router of routers.splice(0)) router.close()
})

/** Answers what `of` says, or that the name is not there, with an SOA of `minimum` seconds; says its port and what it was asked. */
async function upstream(of: Record<string, string>, minimum = 60): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = []
  const socket = createSocket('udp4')
  sockets.push(socket)
  socket.on('message', (query, from) => {
    const { id = 0, questions = [] } = decode(query)
    const [{ name = '', type = 'A' } = {}] = questions
    asked.push(`${name} ${type}`)
    const data = of[name]
    const soa: Answer = { name: 'example', type: 'SOA', ttl: 3600, data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum } } // prettier-ignore
    const packet: Packet = {
      type: 'response',
      id,
      flags: data === undefined ? 3 : 0,
      questions,
      answers: data === undefined || type !== 'A' ? [] : [{ name, type: 'A', ttl: 60, data }],
      authorities: data === undefined ? [soa] : [],
    }
    socket.send(encode(packet), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { port: socket.address().port, asked }
}
function router(corefile: string): (name: string, type?: 'A' | 'AAAA') => Promise<[string | undefined, unknown]> {
  const made = newRouter(parseCorefile(corefile), [])
  routers.push(made)
  let id = 0
  return async (name, type = 'A') => {
    const own = ++id
    const reply = await made.ask(encode({ type: 'query', id: own, flags: 256, questions: [{ name, type }] }), false)
    if (!reply) return [undefined, undefined]
    const { id: same, questions, answers, ...rest } = decode(reply)
    expect([same, questions?.[0]]).toMatchObject([own, { name, type }])
    return [(rest as { rcode?: string }).rcode, answers?.map(a => ('data' in a ? a.data : undefined)).join()]
  }
}

test('a stub domain is asked of its own resolver, the rest of the others, and what nobody is named for of nobody', async () => {
  const [corp, rest] = await Promise.all([upstream({ 'db.corp.example': '192.0.2.1' }), upstream({ 'www.example': '192.0.2.2' })])
  const ask = router(
    `corp.example {\n forward . 127.0.0.1:${corp.port}\n}\n example {\n forward example 127.0.0.1:${rest.port} {\n except secret.example\n }\n}`,
  )
  expect(await ask('db.corp.example')).toEqual(['NOERROR', '192.0.2.1'])
  expect(await ask('www.example')).toEqual(['NOERROR', '192.0.2.2'])
  expect(await ask('x.secret.example')).toEqual([undefined, undefined])
  expect(await ask('elsewhere')).toEqual([undefined, undefined])
  expect([corp.asked, rest.asked]).toEqual([['db.corp.example A'], ['www.example A']])
})

test('answers are kept; that a name is not there is so for every type; the same question is under way once', async () => {
  const { port, asked } = await upstream({ 'www.example': '192.0.2.2' })
  const ask = router(`. {\n forward . 127.0.0.1:${port}\n cache 30\n}`)
  await Promise.all([ask('www.example'), ask('www.example'), ask('www.example')])
  await ask('www.example')
  expect(asked).toEqual(['www.example A'])
  expect((await ask('no.example'))[0]).toBe('NXDOMAIN')
  expect((await ask('no.example', 'AAAA'))[0]).toBe('NXDOMAIN')
  expect((await ask('www.example', 'AAAA'))[0]).toBe('NOERROR')
  expect(asked).toEqual(['www.example A', 'no.example A', 'www.example AAAA'])
})

test('without a cache every question is asked, and what an SOA does not let be kept is not', async () => {
  const [plain, short] = await Promise.all([upstream({ 'www.example': '192.0.2.2' }), upstream({}, 0)])
  const uncached = router(`. {\n forward . 127.0.0.1:${plain.port}\n}`)
  const cached = router(`. {\n forward . 127.0.0.1:${short.port}\n cache\n}`)
  for (let i = 0; i < 2; i++) await uncached('www.example')
  for (let i = 0; i < 2; i++) await cached('no.example')
  expect([plain.asked.length, short.asked.length]).toEqual([2, 2])
})
