import { flattenedVerify } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { configMaps, secrets } from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control()
})
afterAll(() => c?.stop())

const secret = '0123456789abcdef'
const make = (id: string, data: object) =>
  c.client.create(secrets, 'kube-system', {
    metadata: { name: `bootstrap-token-${id}` },
    type: 'bootstrap.kubernetes.io/token',
    stringData: { 'token-id': id, 'token-secret': secret, ...data },
  } as never)
const info = () => c.client.get(configMaps, 'kube-public', 'cluster-info')

test('cluster-info is signed with every token that is for it, as long as that is there', async () => {
  const text = 'kind: Config\n'
  await c.client.create(configMaps, 'kube-public', { metadata: { name: 'cluster-info' }, data: { kubeconfig: text } } as never)
  await make('aaaaaa', { 'usage-bootstrap-signing': 'true' })
  await make('bbbbbb', { 'usage-bootstrap-signing': 'false' })
  const signature = await until('the signature', async () => (await info()).data?.['jws-kubeconfig-aaaaaa'])
  const verified = async (payload: string): Promise<unknown> => {
    const [head = '', , tail = ''] = signature.split('.')
    const key = Buffer.alloc(32)
    key.write(secret)
    return (await flattenedVerify({ protected: head, payload: Buffer.from(payload).toString('base64url'), signature: tail }, key))
      .protectedHeader
  }
  expect(await verified(text)).toEqual({ alg: 'HS256', kid: 'aaaaaa' })
  await expect(verified('kind: Other\n')).rejects.toThrow('signature verification failed')
  expect(Object.keys((await info()).data!)).not.toContain('jws-kubeconfig-bbbbbb')
  // Another text, another signature; no token, none.
  await c.client.patch(configMaps, 'kube-public', 'cluster-info', 'merge', { data: { kubeconfig: 'kind: Other\n' } })
  await until('a new signature', async () => (await info()).data?.['jws-kubeconfig-aaaaaa'] !== signature)
  await c.client.delete(secrets, 'kube-system', 'bootstrap-token-aaaaaa')
  await until('the signature to go', async () => !((await info()).data ?? {})['jws-kubeconfig-aaaaaa'])
})

test('a token that has expired is deleted, and no other', async () => {
  await make('cccccc', { expiration: new Date(Date.now() + 3600_000).toISOString() })
  await make('dddddd', { expiration: '2020-01-01T00:00:00Z' })
  await until('the token to go', () => c.client.get(secrets, 'kube-system', 'bootstrap-token-dddddd').then(() => false, isNotFound))
  expect((await c.client.get(secrets, 'kube-system', 'bootstrap-token-cccccc')).metadata.name).toBe('bootstrap-token-cccccc')
})
