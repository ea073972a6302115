/** Test runners of others with a cluster of ours, as examples/testing shows it. */
import path from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'

const examples = path.resolve(import.meta.dirname, '../../examples/testing')
const project = path.resolve(examples, '../..')

test('vitest', { timeout: 60_000 }, async () => {
  const ran = await execa(process.execPath, [path.join(project, 'node_modules/vitest/vitest.mjs'), 'run', '--root', examples], {
    reject: false,
    // It is not part of this run.
    env: { VITEST: undefined, VITEST_POOL_ID: undefined, VITEST_WORKER_ID: undefined },
    timeout: 55_000,
  })
  expect(ran.exitCode, `${ran.stdout}\n${ran.stderr}`).toBe(0)
  expect(ran.stdout).toMatch(/1 passed/)
})

test('pytest', { timeout: 60_000 }, async () => {
  const ran = await execa('/usr/bin/python3', ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', examples], {
    reject: false,
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    timeout: 55_000,
  })
  expect(ran.exitCode, `${ran.stdout}\n${ran.stderr}`).toBe(0)
  expect(ran.stdout).toContain('1 passed')
})
