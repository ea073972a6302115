/** Keeps flow control as the stored FlowSchemas and PriorityLevelConfigurations say. */
import type { FlowSchema } from '#shared/api/flowcontrol/flowschema.ts'
import type { PriorityLevelConfiguration } from '#shared/api/flowcontrol/prioritylevelconfiguration.ts'
import { flowSchemas, priorityLevelConfigurations } from '#shared/api/kinds.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Registry } from '../registry/registry.ts'
import type { FlowControl } from './flowcontrol.ts'

/** Returns how to stop. `changed` is called after each change. */
export function followConfiguration(registry: Registry, flowControl: FlowControl, log: Logger, changed: () => void): () => void {
  let scheduled = false
  let stopped = false
  const apply = (): void => {
    scheduled = false
    if (stopped) return
    const all = <T>(kind: Kind<T>): T[] => registry.list(kind).map(stored => stored.object as T)
    try {
      flowControl.configure(all<FlowSchema>(flowSchemas), all<PriorityLevelConfiguration>(priorityLevelConfigurations))
    } catch (e) {
      // They cannot be read: what was read before stays in force.
      log.error({ error: (e as Error).message }, 'the configuration of flow control cannot be read')
      return
    }
    changed()
  }
  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(apply)
  }
  const stops = new Map<string, () => void>()
  const watch = (kind: Kind<unknown>): void => {
    const watcher = {
      events: schedule,
      progress: () => {},
      expired() {
        watch(kind)
        schedule()
      },
    }
    stops.set(kind.plural, registry.watch(kind, { after: registry.version }, watcher))
  }
  watch(flowSchemas)
  watch(priorityLevelConfigurations)
  apply()
  return () => {
    stopped = true
    for (const stop of stops.values()) stop()
  }
}
