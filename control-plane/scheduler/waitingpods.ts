/** Pods whose binding Permit plugins hold back: each of those has to allow it, one rejection or the end of its time ends it. */
import { unschedulable, type Status } from './framework.ts'
import type { PodInfo } from './podinfo.ts'

/** The longest that a Permit plugin may make a pod wait, ms. */
export const maxPermitMs = 15 * 60_000

export interface WaitingPod {
  readonly pod: PodInfo
  readonly node: string
  /** Plugins that have not allowed it yet. */
  readonly pending: ReadonlySet<string>
  allow(plugin: string): void
  reject(plugin: string, message: string): void
}

export class WaitingPods {
  readonly #pods = new Map<string, WaitingPod>()

  get(uid: string): WaitingPod | undefined {
    return this.#pods.get(uid)
  }
  all(): Iterable<WaitingPod> {
    return this.#pods.values()
  }

  /** Holds the pod back for plugins with their time limits in ms; resolves with undefined when all have allowed it. */
  wait(pod: PodInfo, node: string, plugins: ReadonlyMap<string, number>): Promise<Status | undefined> {
    return new Promise(resolve => {
      const pending = new Set(plugins.keys())
      const end = (status: Status | undefined): void => {
        for (const timer of timers) clearTimeout(timer)
        this.#pods.delete(pod.uid)
        resolve(status)
      }
      const reject = (plugin: string, message: string): void => end({ ...unschedulable(message), plugin })
      const timers = [...plugins].map(([plugin, ms]) =>
        setTimeout(
          () => reject(plugin, `rejected due to timeout after waiting ${ms / 1000}s at plugin ${plugin}`),
          Math.min(ms, maxPermitMs),
        ).unref(),
      )
      this.#pods.set(pod.uid, {
        pod,
        node,
        pending,
        allow(plugin) {
          pending.delete(plugin)
          if (pending.size === 0) end(undefined)
        },
        reject,
      })
    })
  }
}
