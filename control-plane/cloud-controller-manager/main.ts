/** cloud-controller-manager: the process. Its one cloud is the local one: the machine that the cluster is on. */
import * as z from 'zod'
import { queueMetrics } from '#shared/client/queuemetrics.ts'
import { electedFlags, runElected } from '#shared/component/elected.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { servingFlags } from '#shared/component/serving.ts'
import { runCloudControllers } from './controllers.ts'
import { localCloud } from './local/local.ts'

const component = 'cloud-controller-manager'
const flags = parseFlags(
  component,
  z.object({
    ...electedFlags,
    ...servingFlags(10_258),
    cloudProvider: z.enum(['local']).default('local'),
    /** What the cloud consists of, JSON (local/config.ts); read again when it changes. */
    cloudConfig: z.string(),
  }),
)

await runElected(component, flags, (client, signal, log, metrics) =>
  runCloudControllers(
    {
      client,
      newCloud: (informer, log, signal) => localCloud(flags.cloudConfig, informer, log, signal),
      log,
      onQueue: queueMetrics(metrics),
      registry: metrics,
    },
    signal,
  ),
)
