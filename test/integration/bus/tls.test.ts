/** Connections of other machines: encrypted, to nobody but the cluster's nats-servers, and what one without credentials may ask. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { authorityBehind } from '#control-plane/cli/natsauthority.ts'
import { hashOf } from '#control-plane/cli/join.ts'
import { ensureNatsCertificate } from '#control-plane/cli/pki.ts'
import { makeStateDir, stateDir, type StateDir } from '#control-plane/cli/state.ts'
import { serveApi } from '#control-plane/apiserver/bus/serve.ts'
import { connectedKeys } from '#shared/bus/account.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { bootstrapCreds, credsOf, nodeSigner, nodeUserJwt, newUserKey, userClaims } from '#shared/bus/credentials.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { logger } from '#shared/component/log.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { get, json } from './setup.ts'

const quiet = logger('test')
quiet.level = 'silent'
let dir: StateDir
let other: StateDir
let nats: NatsFixture
let plain: NatsFixture

beforeAll(async () => {
  ;[dir, other] = ['cox-tls-', 'cox-tls-other-'].map(name => stateDir(mkdtempSync(path.join(tmpdir(), name)))) as [StateDir, StateDir]
  for (const d of [dir, other]) makeStateDir(d)
  ensureNatsCertificate(other)
  ;[nats, plain] = await Promise.all([startNats({ tls: ensureNatsCertificate(dir) }), startNats()])
})
afterAll(async () => {
  await Promise.all([nats.stop(), plain.stop()])
  for (const d of [dir, other]) rmSync(d.root, { recursive: true, force: true })
})

const ca = (of: StateDir): string => path.join(of.pki, 'ca.crt')
const as = async (at: NatsFixture, caFile: string | undefined) =>
  connectBus({ url: at.url, credsFile: await at.creds('system:node:far'), caFile, timeoutMs: 500, log: quiet })

test('a connection that names an authority is encrypted, one of this machine need not be', async () => {
  const [far, near] = await Promise.all([as(nats, ca(dir)), as(nats, undefined)])
  const encrypted = (c: typeof far): boolean =>
    (c.nats as unknown as { protocol: { transport: { isEncrypted(): boolean } } }).protocol.transport.isEncrypted()
  expect([encrypted(far), encrypted(near)]).toEqual([true, false])
  await Promise.all([far.close(), near.close()])
})

test('neither another authority nor a server without TLS is believed', async () => {
  await expect(as(nats, ca(other))).rejects.toThrow('cannot connect')
  await expect(as(plain, ca(dir))).rejects.toThrow('cannot connect')
})

test('who joins is shown the authority, and takes none but the one that he was told of', async () => {
  const pem = await authorityBehind(nats.url, [hashOf(readFileSync(ca(dir), 'utf8'))])
  expect(hashOf(pem)).toMatch(/^sha256:[0-9a-f]{64}$/)
  await expect(authorityBehind(nats.url, [`sha256:${'0'.repeat(64)}`])).rejects.toThrow('none of those that were asked for')
  await expect(authorityBehind(plain.url, [hashOf(pem)])).rejects.toThrow('it has no TLS')
})

test('over NATS, a machine that joins is nobody until its token says who it is', async () => {
  const seen: [UserInfo | undefined, string | undefined][] = []
  const service = serveApi(await nats.connect('system:apiserver'), async (request, user) => {
    seen.push([user, request.headers['authorization']])
    return { code: 200, headers: {}, body: Buffer.from('{}') }
  })
  const soon = Math.floor(Date.now() / 1000) + 60
  const { jwt, seed } = await bootstrapCreds(nodeSigner(nats.authority), 'abcdef', soon)
  const file = path.join(dir.root, 'bootstrap.creds')
  writeFileSync(file, credsOf(jwt, seed))
  const bus = await connectBus({ url: nats.url, credsFile: file, identity: 'system:bootstrap:abcdef', caFile: ca(dir), log: quiet })
  const transport = natsTransport(bus)
  expect(await json(await get(transport, '/version', { headers: { authorization: 'Bearer abcdef.0' } }))).toEqual({})
  // A node's identity is the nats-server's word.
  const { account, signer } = nodeSigner(nats.authority)
  const key = newUserKey()
  writeFileSync(file, credsOf(await nodeUserJwt({ account, signer }, 'far', key.publicKey, soon), key.seed))
  const node = await connectBus({ url: nats.url, credsFile: file, caFile: ca(dir), log: quiet })
  await get(natsTransport(node), '/version')
  expect(seen.map(([user, authorization]) => [user?.name, authorization])).toEqual([
    [undefined, 'Bearer abcdef.0'],
    ['system:node:far', undefined],
  ])
  await Promise.all([bus.close(), node.close(), service.close()])
})

test('with which keys somebody is connected is known by the name that the server vouches for: they can be revoked', async () => {
  const system = readFileSync(await nats.creds('system'), 'utf8')
  const bus = await as(nats, ca(dir))
  const key = userClaims(readFileSync(await nats.creds('system:node:far'), 'utf8'))?.sub
  expect(await connectedKeys(nats.url, system, 'system:node:far')).toEqual([key])
  expect(await connectedKeys(nats.url, system, 'system:node:other')).toEqual([])
  await bus.close()
})
