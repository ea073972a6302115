/** A driver's socket in a state directory whose path is longer than the kernel takes for a socket's. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { identity } from '#shared/csi/services.ts'
import { grpcClient } from '#shared/grpc/client.ts'
import { startCsiDriver } from '../../fixtures/csidriver.ts'

test('is called', async () => {
  const root = await mkdtemp(join(tmpdir(), 'long-'))
  const driver = await startCsiDriver(root, { name: 'long.test' })
  const long = join(root, 'of-many-letters-'.repeat(8), 'node')
  await mkdir(dirname(long))
  await symlink(root, long)
  const client = await grpcClient(join(long, 'plugins/long.test/csi.sock'))
  expect(await client.call(identity.probe, {}, 10_000)).toEqual({ ready: { value: true } })
  client.close()
  await driver.stop()
  await rm(root, { recursive: true })
})
