/** kube-scheduler: the process. */
import * as z from 'zod'
import { eventRecorder } from '#shared/client/events.ts'
import { electedFlags, runElected } from '#shared/component/elected.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { defaultPlugins } from './plugins/registry.ts'
import { runScheduler } from './scheduler.ts'

const flags = parseFlags('kube-scheduler', z.object(electedFlags))
const schedulerName = 'default-scheduler'

await runElected('kube-scheduler', flags, (client, signal, log) =>
  runScheduler(
    { client, events: eventRecorder(client, schedulerName, '', log), log, profiles: [{ schedulerName, plugins: defaultPlugins }] },
    signal,
  ),
)
