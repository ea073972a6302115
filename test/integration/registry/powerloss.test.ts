/**
 * The store on a file system of its own, whose device is copied while everything runs: what the copy holds is what a power failure leaves.
 */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { startNats } from '../../fixtures/nats.ts'
import { dataOf, object, open, pods, until } from './setup.ts'

const run = (command: string, ...args: string[]) => execa(command, args, { timeout: 30_000, stdin: 'ignore' })

test('power fails: nothing that was acknowledged is lost, with readers that sync', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cox-power-'))
  const [device, left, mounted] = [join(dir, 'device'), join(dir, 'left'), join(dir, 'mounted')]
  await mkdir(mounted)
  await run('truncate', '-s', '256M', device)
  await run('mkfs.ext4', '-q', '-F', device)
  await run('mount', '-o', 'loop', device, mounted)
  const nats = await startNats({ below: mounted, sync: 'reader' })
  try {
    // The configuration and the credentials are the test's, not the store's.
    await nats.creds('registry')
    await run('sync', '-f', mounted)
    const registry = await open(nats, { storeDir: nats.storeDir })
    const text = 'x'.repeat(20_000)
    const versions = new Map<string, number>()
    const write = async (name: string): Promise<void> => {
      const made = await registry.put(pods, 'p', name, object(name, `${text}-1`, 'p'), 0)
      versions.set(name, (await registry.put(pods, 'p', name, object(name, `${text}-2`, 'p'), made.version)).version)
    }
    // More than one message block of 8 MiB.
    for (let n = 0; n < 40; n++) await Promise.all(Array.from({ length: 8 }, (_, i) => write(`pod-${n}-${i}`)))
    await registry.remove(pods, 'p', 'pod-0-0', versions.get('pod-0-0')!)
    versions.delete('pod-0-0')
    await cp(device, left)
    await registry.close()
    await nats.kill()
    await run('umount', mounted)
    await run('mount', '-o', 'loop', left, mounted)
    await nats.restart()
    const after = await open(nats, { storeDir: nats.storeDir })
    await until(() => after.healthy, 'the registry follows')
    expect(after.list(pods).map(s => s.name).sort()).toEqual([...versions.keys()].sort()) // prettier-ignore
    for (const [name, version] of versions) {
      expect(after.get(pods, 'p', name)?.version).toBe(version)
      expect(dataOf(after.get(pods, 'p', name)!.object)).toBe(`${text}-2`)
    }
    await after.close()
  } finally {
    await nats.stop()
    await run('umount', '-l', mounted)
    await rm(dir, { recursive: true })
  }
})
