/** How a machine finds the cluster that a token is of, and that it is that cluster. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { X509Certificate } from 'node:crypto'
import { hashOf, join } from '#control-plane/cli/join.ts'
import { createToken } from '#control-plane/cli/token.ts'
import { nodeSigner } from '#shared/bus/credentials.ts'
import { startControl, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl({ enableBootstrapTokenAuth: true })
  await c.control({
    signing: {
      ...c.api.ca,
      lifeMs: 3600_000,
      nodes: nodeSigner(c.api.nats.authority),
    },
  })
})
afterAll(() => c?.stop())
const newToken = () =>
  createToken(c.client, {
    ttlMs: 3600_000,
    server: c.api.url,
    ca: c.api.ca.cert,
  })
const joined = (token: string, caCertHashes: string[] = []) => join({ server: c.api.url, token, caCertHashes }, 'worker')

test('the token vouches for the cluster, and nobody has to approve', async () => {
  const { ca, cert } = await joined(await newToken(), [hashOf(c.api.ca.cert)])
  expect(ca).toBe(c.api.ca.cert)
  expect(new X509Certificate(cert).verify(new X509Certificate(ca).publicKey)).toBe(true)
})

test('who does not know the token, or expects another authority, learns nothing', async () => {
  const token = await newToken()
  await expect(joined(`${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`)).rejects.toThrow('is not by this token')
  await expect(joined(token, ['sha256:00'])).rejects.toThrow('none of those that were asked for')
  await expect(joined('nonsense')).rejects.toThrow('must be of the form')
})
