/** kube-scheduler: the process. */
import * as z from 'zod'
import { electedFlags, runElected } from '#shared/component/elected.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { servingFlags } from '#shared/component/serving.ts'
import { defaultPlugins } from './plugins/registry.ts'
import { runScheduler } from './scheduler.ts'

const flags = parseFlags('kube-scheduler', z.object({ ...electedFlags, ...servingFlags(10_259) }))

await runElected('kube-scheduler', flags, (client, signal, log) =>
  runScheduler({ client, log, profiles: [{ schedulerName: 'default-scheduler', plugins: defaultPlugins }] }, signal),
)
