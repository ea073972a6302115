/** kube-scheduler: the process. */
import { Registry } from 'prom-client'
import * as z from 'zod'
import { electedFlags, runElected } from '#shared/component/elected.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { servingFlags } from '#shared/component/serving.ts'
import { defaultConfiguration, readConfiguration, type Configuration } from './config/configuration.ts'
import { runScheduler } from './scheduler.ts'

const component = 'kube-scheduler'
/** `config`: a KubeSchedulerConfiguration. What it says of leader election wins over the flags, which `cox up` always gives. */
const flags = parseFlags(component, z.object({ ...electedFlags, ...servingFlags(10_259), config: z.string().optional() }))

async function configuration(): Promise<Configuration> {
  if (flags.config === undefined) return defaultConfiguration
  try {
    return await readConfiguration(flags.config)
  } catch (e) {
    process.stderr.write(`${component}: ${(e as Error).message}\n`)
    process.exit(1)
  }
}

const { profiles, extenders, backoff, election } = await configuration()

await runElected(component, { ...flags, ...election }, (client, signal, log, registry, pages) => {
  const resources = new Registry()
  pages.set('/metrics/resources', resources)
  return runScheduler({ client, log, profiles, extenders, backoff, registry, resources }, signal)
})
