import { execa } from 'execa'
import { expect, test } from 'vitest'

const script = `
  import { logger } from '#shared/component/log.ts'
  const log = logger('x')
  for (let n = 0; n < 3; n++) {
    log.info('a line')
    await new Promise(resolve => setImmediate(resolve))
  }
  process.stderr.write('alive')`

test('a log that cannot be written for lack of space ends nobody', async () => {
  const ran = await execa(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdout: { file: '/dev/full' },
    reject: false,
    timeout: 20_000,
  })
  expect(ran).toMatchObject({ exitCode: 0, stderr: 'alive' })
})
