/**
 * Webhooks as their configurations name them: reached by URL or by Service, over HTTPS (k8s.io/apiserver/pkg/util/webhook ClientManager).
 * Connections are kept; calls have deadlines, answers a size, and each webhook its own connections, so that none waits for another.
 */
import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import type { WebhookClientConfig } from '#shared/api/admissionregistration/webhooks.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { failureOf } from '#shared/client/serverresponse.ts'
import { currentTurn } from '../chain/turn.ts'
import type { Registry } from '../registry/registry.ts'
import { serviceAddresses, type ServicePort } from '../proxy/service.ts'
import { HttpsPool } from './httpspool.ts'

/** Upstream's number of clients that are kept. */
const maxClients = 200

export interface CallOptions {
  /** At most, and not beyond the deadline of the request that is being worked on. */
  readonly timeoutMs: number
  /** Of the answer. */
  readonly maxBytes: number
}

export interface Webhooks {
  /**
   * Posts JSON and resolves with the answer's text, whatever it is. Rejects with an Error in upstream's words, which is a StatusError when
   * the webhook answered with a failure or its Service cannot be resolved.
   */
  call(config: WebhookClientConfig, body: string, options: CallOptions): Promise<string>
  close(): void
}

export function newWebhooks(registry: Registry, bus: BusConnection): Webhooks {
  const pools = new Map<string, HttpsPool>()

  /** The one that was used longest ago goes. */
  function poolOf(key: string, make: () => HttpsPool): HttpsPool {
    const pool = pools.get(key) ?? make()
    pools.delete(key)
    pools.set(key, pool)
    if (pools.size > maxClients) {
      const [oldest, unused] = pools.entries().next().value!
      pools.delete(oldest)
      unused.close()
    }
    return pool
  }

  return {
    async call(config, body, { maxBytes, ...options }) {
      const turn = currentTurn()
      const timeoutMs = Math.max(1, Math.min(options.timeoutMs, turn ? turn.until - performance.now() : Infinity))
      const { key, origin, path, ca, service } = targetOf(config)
      const target = `${path}?timeout=${Math.max(1, Math.ceil(timeoutMs / 1000))}s`
      let answer
      try {
        const pool = poolOf(key, () => {
          if (!service) return new HttpsPool({ ca })
          return new HttpsPool({ ca, service: { servername: origin.hostname, addresses: () => serviceAddresses(registry, bus, service) } })
        })
        const post = () => pool.post(origin, target, body, { timeoutMs, signal: turn?.signal, maxBytes })
        // While the webhook works, others are worked on here.
        answer = await (turn ? turn.aside(post) : post())
      } catch (e) {
        throw new Error(`Post "${shownOrigin(config)}${target}": ${(e as Error).message}`)
      }
      if (answer.status < 200 || answer.status > 206) throw failureOf('POST', answer.status, answer.body)
      return answer.body
    },
    close() {
      for (const pool of pools.values()) pool.close()
      pools.clear()
    },
  }
}

/** What a configuration says, as it is needed for each call. */
interface Target {
  /** Tells pools apart. */
  readonly key: string
  readonly origin: URL
  readonly path: string
  readonly ca: string | undefined
  readonly service: ServicePort | undefined
}
const targets = new WeakMap<WebhookClientConfig, Target>()

function targetOf(config: WebhookClientConfig): Target {
  let target = targets.get(config)
  if (!target) targets.set(config, (target = newTarget(config)))
  return target
}

function newTarget(config: WebhookClientConfig): Target {
  const { service, caBundle, url = '' } = config
  const ca =
    Buffer.from(caBundle ?? '', 'base64')
      .toString()
      .trim() || undefined
  const trust = ca === undefined ? '' : createHash('sha256').update(ca).digest('base64')
  const origin = new URL(shownOrigin(config))
  // As Go's path.Join: envtest, for one, writes https://host//path, which Go's servers redirect.
  const path = posix.join('/', service ? (service.path ?? '') : new URL(url).pathname).replace(/(?!^)\/$/, '')
  return {
    key: `${service ? 'service' : 'url'} ${origin.hostname} ${service?.port ?? origin.port} ${trust}`,
    origin,
    path,
    ca,
    service: service && { namespace: service.namespace, name: service.name, port: service.port ?? 443 },
  }
}

/** A URL's as it is written; a Service's with its port. */
const shownOrigin = ({ service, url = '' }: WebhookClientConfig): string =>
  service ? `https://${service.name}.${service.namespace}.svc:${service.port ?? 443}` : (/^[^:]+:\/\/[^/]*/.exec(url)?.[0] ?? url)
