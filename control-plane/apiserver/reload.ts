/** Configuration files that are read again when they change; what is wrong is logged, and what was before stays in force. */
import { createHash } from 'node:crypto'
import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { Logger } from '#shared/component/log.ts'
import { readText } from '#shared/component/configfile.ts'

/** What is told of reloads under upstream's names: `apiserver_<what>_config_controller_...`. */
export interface ReloadMetrics {
  /** Shows them, those of files that are followed later too. */
  register(registry: MetricsRegistry): void
  /** The text that is in force from now on. */
  applied(what: string, text: string): void
  reloaded(what: string, status: 'success' | 'failure'): void
}

const hashOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`

/** `identity` is this server's. */
export function reloadMetrics(identity: string): ReloadMetrics {
  const registers: MetricsRegistry[] = []
  const apiserver_id_hash = hashOf(identity)
  const of = new Map<string, { total: Counter; last: Gauge; info: Gauge }>()
  const metricsOf = (what: string) => {
    let all = of.get(what)
    if (!all) {
      const name = (tail: string): string => `apiserver_${what}_config_controller_${tail}`
      const labelNames = ['status', 'apiserver_id_hash']
      const help = `automatic reloads of ${what} configuration split by status and apiserver identity.`
      all = {
        total: new Counter({ name: name('automatic_reloads_total'), help: `Total number of ${help}`, labelNames, registers }),
        last: new Gauge({
          name: name('automatic_reload_last_timestamp_seconds'),
          help: `Timestamp of the last of the ${help}`,
          labelNames,
          registers,
        }),
        info: new Gauge({
          name: name('last_config_info'),
          help: `Information about the last applied ${what} configuration with hash as label, split by apiserver identity.`,
          labelNames: ['apiserver_id_hash', 'hash'],
          registers,
        }),
      }
      of.set(what, all)
    }
    return all
  }
  return {
    register(registry) {
      registers.push(registry)
      for (const all of of.values()) Object.values(all).forEach(m => registry.registerMetric(m))
    },
    applied(what, text) {
      const { info } = metricsOf(what)
      info.reset()
      info.set({ apiserver_id_hash, hash: hashOf(text) }, 1)
    },
    reloaded(what, status) {
      const { total, last } = metricsOf(what)
      total.inc({ status, apiserver_id_hash })
      last.set({ status, apiserver_id_hash }, Date.now() / 1000)
    },
  }
}

export interface ReloadOptions {
  readonly file: string
  /** `authentication`, `authorization` or `encryption`. */
  readonly what: string
  readonly metrics: ReloadMetrics
  readonly log: Logger
  /** What was read at the start, and is in force. */
  readonly initial: string
}

/** Files are written in several steps: what is there after this is read. */
const settleMs = 100
/** What was in force before may still be at work. */
const graceMs = 60_000
export const closeLater = (close: () => void): void => void setTimeout(close, graceMs).unref()

/** As upstream looks, whatever the file system told. */
const everyMs = 60_000

/**
 * Calls `apply` with the file's text each time that it is another one than before, and again for one that failed; when that throws, `apply`
 * must have left everything as it was. Returns how to stop.
 */
export function reloading({ file, what, metrics, log, initial }: ReloadOptions, apply: (text: string) => Promise<void>): () => void {
  let last: string | undefined = initial
  let stopped = false
  let running = Promise.resolve()
  let waiting: NodeJS.Timeout | undefined
  const check = async (): Promise<void> => {
    try {
      const text = await readText(file)
      if (text === last || stopped) return
      last = undefined
      await apply(text)
      last = text
      metrics.applied(what, text)
      metrics.reloaded(what, 'success')
      log.info({ file }, `reloaded the ${what} configuration`)
    } catch (e) {
      metrics.reloaded(what, 'failure')
      log.error({ file, err: (e as Error).message }, `the ${what} configuration is not reloaded`)
    }
  }
  const soon = (): void => {
    waiting ??= setTimeout(() => {
      waiting = undefined
      running = running.then(() => (stopped ? undefined : check()))
    }, settleMs).unref()
  }
  const blind = (e: unknown): void => log.warn({ file, err: (e as Error).message }, 'a configuration file cannot be watched')
  // The directory's: files are often replaced by others, or are links to ones that are.
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(dirname(file), soon)
    watcher.on('error', blind)
    watcher.unref()
  } catch (e) {
    blind(e)
  }
  const timer = setInterval(soon, everyMs)
  timer.unref()
  metrics.applied(what, initial)
  return () => {
    stopped = true
    clearTimeout(waiting)
    clearInterval(timer)
    watcher?.close()
  }
}
