/** The process of a component of which one instance works at a time: kube-controller-manager, kube-scheduler. */
import { hostname } from 'node:os'
import type { Registry } from 'prom-client'
import * as z from 'zod'
import { natsTransport } from '../bus/api-client.ts'
import { connectBus } from '../bus/connection.ts'
import { eventRecorder } from '../client/events.ts'
import { countedTransport, registerRequestMetrics, requestMetrics } from '../client/countedtransport.ts'
import { boundedWrites } from '../client/inflight.ts'
import { leaderElect } from '../client/leaderelection.ts'
import { fenced, Leadership } from '../client/leadership.ts'
import { newClient, type RestClient } from '../client/rest.ts'
import { boolFlag, durationFlag } from './flags.ts'
import type { HealthCheck } from './health.ts'
import { newIdentity, untilEnded } from './instance.ts'
import { ready, untilTerminated } from './lifecycle.ts'
import { logger, type Logger } from './log.ts'
import { addMetric, newMetrics } from './metrics.ts'
import { serveComponent, type ServingFlags } from './serving.ts'

/** The flags that such a component has besides its own. */
export const electedFlags = {
  natsUrl: z.string(),
  /** The authority that must vouch for nats-servers of another machine. */
  natsCaFile: z.string().optional(),
  creds: z.string(),
  /** How this process's name in the election begins; default: the host's name. */
  identity: z.string().optional(),
  leaderElect: boolFlag().default(true),
  leaderElectLeaseDuration: durationFlag().default(15_000),
  leaderElectRenewDeadline: durationFlag().default(10_000),
  leaderElectRetryPeriod: durationFlag().default(2_000),
  /** Not upstream's: a deputy leads only while none that is preferred can. */
  leaderElectPreference: z.enum(['preferred', 'deputy']).optional(),
}
export type ElectedFlags = z.output<z.ZodObject<typeof electedFlags>> & ServingFlags

/** Writes of a component that are under way at once. Renewals of the lease do not count, and so never wait for them. */
const writesAtOnce = 64
/** A leader that could not renew its lease for that long after its deadline is not healthy, ms: upstream's, of the health check. */
const overdueLimitMs = 20_000
/** How long work may take to end after SIGTERM, ms. */
const endingMs = 2_000

/**
 * Connects, waits for the lease, calls `work` while it is held (`pages` are metrics by the path that they are served at), and ends the process: 0 after SIGTERM, and of a deputy that has given the
 * lease back; 1 when the lease is lost or something fails.
 */
export async function runElected(
  component: string,
  flags: ElectedFlags,
  work: (client: RestClient, signal: AbortSignal, log: Logger, metrics: Registry, pages: Map<string, Registry>) => Promise<void>,
): Promise<never> {
  const log = logger(component)
  const signal = untilTerminated()
  process.on('unhandledRejection', e => log.error({ err: e }, 'unhandled rejection'))
  try {
    const bus = await connectBus({ url: flags.natsUrl, caFile: flags.natsCaFile, credsFile: flags.creds, log })
    const requests = requestMetrics()
    const transport = countedTransport(natsTransport(bus), requests)
    const client = newClient(transport, { userAgent: component })
    const leadership = new Leadership()
    // What is written without a connection is sent when there is one again, whoever leads by then.
    bus.onChange(connected => connected || leadership.suspend())
    const metrics = newMetrics()
    addMetric(
      metrics,
      'leader_election_master_status',
      'gauge',
      'Gauge of if the reporting system is master of the relevant lease.',
      () => [{ labels: { name: component }, value: leadership.held ? 1 : 0 }],
    )
    registerRequestMetrics(metrics, requests)
    const pages = new Map([['/metrics', metrics]])
    const checks: HealthCheck[] = [
      { name: 'ping', check: () => undefined },
      {
        name: 'leaderElection',
        check: () => (leadership.overdueMs > overdueLimitMs ? `failed election to renew leadership on lease ${component}` : undefined),
      },
    ]
    let ended: Promise<void> = Promise.resolve()
    const start = (leading: AbortSignal): void => {
      // The fence comes last: a write that waited for its turn is sent by a leader only.
      const own = newClient(boundedWrites(flags.leaderElect ? fenced(transport, leadership) : transport, writesAtOnce), {
        userAgent: component,
      })
      ended = work(own, leading, log, metrics, pages).catch((e: unknown) => {
        log.fatal({ err: e }, 'failed')
        process.exit(1)
      })
    }
    await serveComponent(flags, { client, pages, checks, log })
    ready()
    if (flags.leaderElect) {
      const outcome = await leaderElect(
        {
          client,
          namespace: 'kube-system',
          name: component,
          identity: await newIdentity(flags.identity ?? hostname()),
          untilEnded,
          leadership,
          preference: flags.leaderElectPreference,
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
      if (outcome !== 'stopped') process.exit(outcome === 'given' ? 0 : 1)
    } else {
      start(signal)
      if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    }
    await Promise.race([ended, new Promise(resolve => setTimeout(resolve, endingMs).unref())])
    await bus.close()
    process.exit(0)
  } catch (e) {
    log.fatal({ err: (e as Error).message }, 'cannot run')
    process.exit(1)
  }
}
