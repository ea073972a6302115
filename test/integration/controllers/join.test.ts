/** A machine with nothing but a token becomes a node: a certificate and a NATS user of the same identity, renewed and revoked. */
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createToken } from '#control-plane/cli/token.ts'
import { keepCredentials, renewAt } from '#node-agent/kubelet/certificate/rotation.ts'
import type { CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { certificateSigningRequests, configMaps, nodes, secrets } from '#shared/api/kinds.ts'
import { updateAccount } from '#shared/bus/account.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { busAccount, credsOf, mintCreds, nodeSigner, nodeUserJwt, userClaims } from '#shared/bus/credentials.ts'
import { obtainNodeCredentials } from '#shared/certificates/nodecredentials.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import { startControl, until, quiet, type Control } from './setup.ts'

let c: Control
let dir: string
const stop = new AbortController()
beforeAll(async () => {
  c = await startControl({ enableBootstrapTokenAuth: true })
  dir = mkdtempSync(path.join(tmpdir(), 'cox-join-'))
  await c.control({ signing: { ...c.api.ca, lifeMs: 3600_000, nodes: nodeSigner(c.api.nats.authority) } })
  // The administrator approves whatever comes, unless the cluster has done so by itself.
  const requests = startInformer(c.client, certificateSigningRequests, { log: quiet }, stop.signal)
  requests.subscribe(({ type, object: csr }) => {
    if (type !== 'DELETED' && !csr.status?.conditions?.length) void approve(csr).catch(() => {})
  })
  await requests.synced
})
afterAll(async () => {
  stop.abort()
  await c?.stop()
  if (dir) rmSync(dir, { recursive: true, force: true })
})
const newToken = () => createToken(c.client, { ttlMs: 3600_000, server: c.api.url, ca: c.api.ca.cert })
const approve = (csr: CertificateSigningRequest) =>
  c.client.update(
    certificateSigningRequests,
    { ...csr, status: { conditions: [{ type: 'Approved', status: 'True', reason: 'Test' }] } },
    'approval',
  )
const joined = async (token: string, node: string) => {
  const transport = httpsTransport({ server: c.api.url, ca: c.api.ca.cert, token })
  try {
    return await obtainNodeCredentials(newClient(transport, { userAgent: 'test' }), node, { signal: AbortSignal.timeout(60_000) })
  } finally {
    await transport.close()
  }
}
const credsFile = (name: string, creds: string): string => {
  writeFileSync(path.join(dir, name), creds, { mode: 0o600 })
  return path.join(dir, name)
}
const connected = async (file: string) => {
  const bus = await connectBus({ url: c.api.nats.url, credsFile: file, timeoutMs: 5000, log: quiet })
  return { bus, client: newClient(natsTransport(bus), { userAgent: 'test' }) }
}

test('who has a token gets a node’s credentials: both are of one identity and end together', async () => {
  const token = await newToken()
  const { cert, creds } = await joined(token, 'worker')
  const x509 = new X509Certificate(cert)
  expect(x509.subject).toBe('O=system:nodes\nCN=system:node:worker')
  expect(x509.verify(new X509Certificate(c.api.ca.cert).publicKey)).toBe(true)
  expect(userClaims(creds)!.exp! * 1000).toBe(Date.parse(x509.validTo))
  const { bus, client } = await connected(credsFile('worker.creds', creds))
  expect(bus.identity).toBe('system:node:worker')
  expect((await client.list(nodes, '')).items).toEqual([])
  await bus.close()
  // A token that is gone is none.
  await c.client.delete(secrets, 'kube-system', `bootstrap-token-${token.split('.')[0]}`)
  await until('the signature to go', async () => {
    const info = await c.client.get(configMaps, 'kube-public', 'cluster-info')
    return !Object.keys(info.data ?? {}).some(k => k.endsWith(token.split('.')[0]!))
  })
  expect((await c.api.rest('GET', '/api', undefined, { as: 'nobody', headers: { authorization: `Bearer ${token}` } })).code).toBe(401)
})

test('only the public key of a user becomes one', async () => {
  await expect(nodeUserJwt(nodeSigner(c.api.nats.authority), 'x', 'ABC', 1)).rejects.toThrow('not the public key of a NATS user')
})

test('a node renews its credentials before they end, and works on with them', async () => {
  expect([renewAt(100, 200, 0), renewAt(100, 200, 1)]).toEqual([170, 190])
  // Ends soon: its time to be renewed has come.
  const { creds } = await joined(await newToken(), 'renewing')
  const seed = /USER NKEY SEED-+\s+(SU\w+)/.exec(creds)![1]!
  const { sub } = userClaims(creds)!
  const soon = Math.floor(Date.now() / 1000) + 10
  const jwt = await nodeUserJwt(nodeSigner(c.api.nats.authority), 'renewing', sub!, soon)
  const file = credsFile('renewing.creds', credsOf(jwt, seed))
  const { bus, client } = await connected(file)
  const certificateFile = path.join(dir, 'pki', 'kubelet-client-current.pem')
  const ended = new AbortController()
  // As early as can be, so that a busy machine has time for it.
  const chance = vi.spyOn(Math, 'random').mockReturnValue(0)
  const rotation = keepCredentials(client, { node: 'renewing', credsFile: file, certificateFile }, quiet, ended.signal)
  await until('new credentials', () => (userClaims(readFileSync(file, 'utf8'))?.exp ?? 0) > soon + 60)
  chance.mockRestore()
  expect(new X509Certificate(readFileSync(certificateFile)).subject).toContain('CN=system:node:renewing')
  // The server ends the connection with the old credentials; it comes back with the new ones.
  await until('the old credentials to end', () => Date.now() / 1000 > soon + 1 && bus.connected, 20_000)
  expect((await client.list(nodes, '')).items).toEqual([])
  ended.abort()
  await rotation
  await bus.close()
})

test('revoked credentials are cut off, those of others are not', async () => {
  const token = await newToken()
  const [bad, good] = await Promise.all([joined(token, 'bad'), joined(token, 'good')])
  const [revoked, other] = await Promise.all([connected(credsFile('bad.creds', bad.creds)), connected(credsFile('good.creds', good.creds))])
  const { authority, url } = c.api.nats
  const account = await busAccount(authority, { [userClaims(bad.creds)!.sub!]: Math.floor(Date.now() / 1000) + 1 })
  await updateAccount(url, await mintCreds(authority, 'system'), account)
  await until('the connection to be cut', () => !revoked.bus.connected)
  await expect(connected(path.join(dir, 'bad.creds'))).rejects.toThrow('AUTHORIZATION_VIOLATION')
  expect((await other.client.list(nodes, '')).items).toEqual([])
  expect(other.bus.connected).toBe(true)
  await Promise.all([revoked.bus.close(), other.bus.close()])
})
