import { expect, test } from 'vitest'
import { canSyncOften, createAuthority, identityOf, mintCreds, natsServerConfig } from '#shared/bus/credentials.ts'

test('an authority survives JSON, and its credentials tell whose they are', async () => {
  const authority = JSON.parse(JSON.stringify(await createAuthority())) as Awaited<ReturnType<typeof createAuthority>>
  for (const identity of ['registry', 'system', 'system:apiserver', 'system:node:a.b'])
    expect(await identityOf(await mintCreds(authority, identity))).toBe(identity)
})

test('acknowledged writes are on disk where the server can do that', async () => {
  const authority = await createAuthority()
  const config = (serverVersion: string, more = {}) =>
    natsServerConfig(authority, { host: '127.0.0.1', port: 4222, storeDir: '/x', serverVersion, ...more })
  expect(await config('nats-server: v2.10.27')).toContain('sync_interval: always')
  expect(await config('nats-server: v2.9.10')).not.toContain('sync_interval')
  expect(await config('2.15.1', { sync: 'reader' })).toContain('sync_interval: "1s"')
  expect(await config('2.9.10', { sync: 'reader' })).not.toContain('sync_interval')
  expect(['2.9.10', 'v2.10.0', '2.15.1', '3.0.0', ''].map(canSyncOften)).toEqual([false, true, true, true, false])
  expect(await config('2.9.10')).toContain('listen: "127.0.0.1:4222"')
})
