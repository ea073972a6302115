/**
 * The metrics server (`metrics.k8s.io`, for `kubectl top` and the HorizontalPodAutoscaler): runs where the leading kube-controller-manager
 * does, with the rights of a service account of its own, and is reached as any aggregated API.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { FrontProxy } from '#control-plane/apiserver/authn/requestheader.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { name, register, unregister } from './register.ts'
import { newScraper } from './scraper.ts'
import { serveMetrics } from './serve.ts'

export interface MetricsServerOptions {
  /** Whether it runs at all; when not, what a former one left is taken away. */
  readonly enabled: boolean
  /** What it listens on, and is reached at. */
  readonly address: string
  readonly cert: string
  readonly key: string
  /** The authorities of the certificate, PEM. */
  readonly authority: string
  readonly frontProxy: FrontProxy & { readonly authority: string }
}

/** Whose rights it has. */
export const metricsAccount = `system:serviceaccount:kube-system:${name}`

/** What others change or remove is put right after this time; a failure is tried again sooner. */
const registerMs = 30_000
const retryMs = 1_000

/** Resolves when `signal` aborts; `client` asks as `metricsAccount`. */
export async function runMetricsServer(client: Client, o: MetricsServerOptions, signal: AbortSignal, log: Logger): Promise<void> {
  if (!o.enabled)
    return unregister(client).catch((e: Error) => log.info({ error: e.message }, 'the metrics server could not be unregistered'))
  let hasPlace = true
  const scraper = newScraper(client, () => hasPlace, log)
  const { cert, key, frontProxy } = o
  const server = await serveMetrics(o.address, { client, scraper, cert, key, frontProxy, log })
  log.info({ address: o.address, port: server.port }, 'serving metrics')
  const registering = async (): Promise<void> => {
    while (!signal.aborted) {
      const ok = await register(client, { host: o.address, port: server.port, authority: o.authority }).then(
        ours => {
          if (hasPlace && !ours) log.info('another metrics server is there; this one rests')
          hasPlace = ours
          return true
        },
        (e: Error) => {
          log.info({ error: e.message }, 'the metrics server could not be registered; will try again')
          return false
        },
      )
      await delay(ok ? registerMs : retryMs, undefined, { signal }).catch(() => {})
    }
  }
  await Promise.all([registering(), scraper.run(signal)])
  server.close()
}
