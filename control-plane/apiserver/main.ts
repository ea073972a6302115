/** kube-apiserver: the process; and for a process that has an API server within itself, what it starts it with. */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseFlags } from '#shared/component/flags.ts'
import { hopelessExitCode, ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { flags, serverOptions } from './options.ts'
import { StoreLost } from './registry/record.ts'
import { startApiServer } from './server.ts'

export { logger, serverOptions, startApiServer }

async function main(): Promise<void> {
  const log = logger('kube-apiserver')
  const stop = untilTerminated()
  process.on('unhandledRejection', error => log.error({ err: error }, 'unhandled rejection'))
  const options = parseFlags('kube-apiserver', flags)
  try {
    const server = await startApiServer(options, log)
    log.info({ url: server.url }, 'serving')
    ready()
    if (!stop.aborted) await new Promise(resolve => stop.addEventListener('abort', resolve, { once: true }))
    await server.close()
    process.exit(0)
  } catch (e) {
    process.stderr.write(`kube-apiserver: ${(e as Error).message}\n`)
    process.exit(e instanceof StoreLost ? hopelessExitCode : 1)
  }
}

if (realpathSync(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) await main()
