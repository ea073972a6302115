import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeExt4 } from '#shared/linux/ext4.ts'
import { run } from '#shared/linux/run.ts'

const MiB = 1 << 20
const able = await run('mke2fs', ['-V']).then(
  () => true,
  () => false,
)

test.runIf(able)("the journal of a new file system is written in its file: no fsync waits for the file's own blocks", async () => {
  const directory = await mkdtemp('/var/tmp/ext4-')
  onTestFinished(() => rm(directory, { recursive: true }))
  const image = join(directory, 'image')
  await writeFile(image, '')
  await truncate(image, 512 * MiB)
  await makeExt4(image, 512 * MiB, 60_000)
  const extents = (await run('filefrag', ['-v', image])).split('\n').filter(line => /^\s*\d+:/.test(line))
  expect(extents.filter(line => line.includes('unwritten'))).toEqual([])
  // The journal alone is of 16 MiB.
  const blocks = extents.reduce((sum, line) => sum + Number(line.split(':')[3]), 0)
  expect(blocks).toBeGreaterThanOrEqual((16 * MiB) / 4096)
})
