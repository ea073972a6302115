/** How often, and for how long, a controller looked at something, by the code of the answer that ended it: as upstream's publishers count. */
import type { ControllerOptions } from '#shared/client/controller.ts'
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'
import { StatusError } from '#shared/machinery/status.ts'

const codeOf = (e: unknown): string => String((e instanceof StatusError && e.code) || 500)

/** `SUBSYSTEM_sync_total` and `SUBSYSTEM_sync_duration_seconds` of a controller; `what` it syncs is part of their help. */
export function counted(metrics: ComponentMetrics, subsystem: string, what: string, options: ControllerOptions): ControllerOptions {
  const syncs = metrics.counter(`${subsystem}_sync_total`, `[ALPHA] Number of ${what}.`)
  const took = metrics.histogram(`${subsystem}_sync_duration_seconds`, `[ALPHA] Number of ${what}.`, exponential(0.001, 2, 15))
  return {
    ...options,
    async reconcile(key, client) {
      const began = performance.now()
      let code = '200'
      try {
        return await options.reconcile(key, client)
      } catch (e) {
        code = codeOf(e)
        throw e
      } finally {
        syncs.add({ code })
        took.observe((performance.now() - began) / 1000, { code })
      }
    },
  }
}
