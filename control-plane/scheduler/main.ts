/** kube-scheduler: flags, connection, leader election, then the loop. */
import { hostname } from 'node:os'
import { z } from 'zod'
import { connectBus } from '#shared/bus/connection.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { leaderElect } from '#shared/client/leaderelection.ts'
import { newClient } from '#shared/client/rest.ts'
import { boolFlag, durationFlag, parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { plugins } from './plugins/registry.ts'
import { runScheduler } from './scheduler.ts'

const flags = parseFlags(
  'kube-scheduler',
  z.object({
    natsUrl: z.string(),
    creds: z.string(),
    identity: z.string().default(() => `${hostname()}_${crypto.randomUUID()}`),
    leaderElect: boolFlag().default(true),
    leaderElectLeaseDuration: durationFlag().default(15_000),
    leaderElectRenewDeadline: durationFlag().default(10_000),
    leaderElectRetryPeriod: durationFlag().default(2_000),
  }),
)
const log = logger('kube-scheduler')
const stop = untilTerminated()
const connection = await connectBus({ url: flags.natsUrl, credsFile: flags.creds, log })
const client = newClient(natsTransport(connection), { userAgent: 'kube-scheduler' })
const events = eventRecorder(client, 'default-scheduler')
const run = (signal: AbortSignal): Promise<void> => runScheduler({ client, events, log, plugins, schedulerName: 'default-scheduler' }, signal)
ready()

if (flags.leaderElect) {
  const outcome = await leaderElect(
    {
      client,
      namespace: 'kube-system',
      name: 'kube-scheduler',
      identity: flags.identity,
      leaseDurationMs: flags.leaderElectLeaseDuration,
      renewDeadlineMs: flags.leaderElectRenewDeadline,
      retryPeriodMs: flags.leaderElectRetryPeriod,
      log,
      recorder: events,
      onStartedLeading: signal => void run(signal),
    },
    stop,
  )
  // Whoever lost the lease starts afresh: nothing of the old term may act any more.
  if (outcome === 'lost') {
    log.error('leader election lost')
    process.exit(1)
  }
} else {
  await run(stop)
}
await connection.close()
process.exit(0)
