/** kube-controller-manager: elects a leader by Lease and runs all controllers side by side. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { leaderElect } from '#shared/client/leaderelection.ts'
import { newClient } from '#shared/client/rest.ts'
import { boolFlag, durationFlag, intFlag, parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { defaultSettings, runControllers } from './controllers.ts'

const component = 'kube-controller-manager'
const flags = parseFlags(
  component,
  z.object({
    natsUrl: z.string(),
    creds: z.string(),
    /** Of this instance in the election. Give one only if no two processes ever have it at the same time: it takes over at once. */
    identity: z.string().optional(),
    rootCaFile: z.string().optional(),
    clusterCidr: z.string().optional(),
    serviceClusterIpRange: z.string().optional(),
    nodeMonitorGracePeriod: durationFlag().default(50_000),
    nodeMonitorPeriod: durationFlag().default(5_000),
    terminatedPodGcThreshold: intFlag().default(12_500),
    leaderElect: boolFlag().default(true),
    leaderElectLeaseDuration: durationFlag().default(15_000),
    leaderElectRenewDeadline: durationFlag().default(10_000),
    leaderElectRetryPeriod: durationFlag().default(2_000),
  }),
)
const log = logger(component)
const signal = untilTerminated()
process.on('unhandledRejection', e => log.error({ err: e }, 'unhandled rejection'))

try {
  const rootCa = flags.rootCaFile ? await readFile(flags.rootCaFile, 'utf8') : ''
  const bus = await connectBus({ url: flags.natsUrl, credsFile: flags.creds, log })
  const client = newClient(natsTransport(bus), { userAgent: component })
  const settings = {
    ...defaultSettings,
    rootCa,
    nodeMonitorGracePeriodMs: flags.nodeMonitorGracePeriod,
    nodeMonitorPeriodMs: flags.nodeMonitorPeriod,
    terminatedPodThreshold: flags.terminatedPodGcThreshold,
  }
  let stopped: Promise<void> = Promise.resolve()
  const start = (leading: AbortSignal) => {
    return (stopped = runControllers(client, settings, leading, log).catch((e: unknown) => {
      log.fatal({ err: e }, 'controllers failed')
      process.exit(1)
    }))
  }
  ready()
  if (flags.leaderElect) {
    const outcome = await leaderElect(
      {
        client,
        namespace: 'kube-system',
        name: component,
        identity: flags.identity ?? `${hostname()}_${randomUUID()}`,
        leaseDurationMs: flags.leaderElectLeaseDuration,
        renewDeadlineMs: flags.leaderElectRenewDeadline,
        retryPeriodMs: flags.leaderElectRetryPeriod,
        log,
        recorder: eventRecorder(client, component, '', log),
        onStartedLeading: start,
      },
      signal,
    )
    // Another may be leading already: nothing that is under way here may write any more.
    if (outcome === 'lost') process.exit(1)
  } else {
    void start(signal)
    await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
  }
  await Promise.race([stopped, new Promise(resolve => setTimeout(resolve, 2_000).unref())])
  await bus.close()
  process.exit(0)
} catch (e) {
  log.fatal({ err: (e as Error).message }, 'cannot run')
  process.exit(1)
}
