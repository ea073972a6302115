/** What `cox up` wants of a cluster that it runs, with nodes or without. */
import type { Cluster } from './state.ts'

export interface RunningEvents {
  /** A process, or a node, serves; again when it had died. */
  ready(name: string): void
  died(name: string, how: string, restartInMs: number): void
}

export interface Told {
  /** Aborts when the cluster shall end. */
  stop: AbortSignal
  events: RunningEvents
  /** A line for whoever started the cluster. */
  tell(line: string): void
}

export interface Running {
  /** Resolves when the cluster can be used. */
  readonly started: Promise<Cluster>
  /** `removed`: the state directory is gone, or another cluster's by now. */
  stop(removed: boolean): Promise<void>
}
