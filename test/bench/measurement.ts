/**
 * What a measurement is: a function over a running cluster that gives rows, each beside the floor that the same machine set in the same
 * run.
 */
import type { Client } from '#shared/client/client.ts'
import type { BenchCluster } from './cluster.ts'

export type Unit = 's' | 'ms' | '/s' | 'MB/s' | 'MiB' | '%'

export interface Row {
  name: string
  unit: Unit
  value: number
  /** The same work without us, measured beside it, in the same unit. */
  floor?: number
  floorName?: string
  /** The figure to reach, in the same unit. */
  target?: number
}

/** How much of everything. */
export interface Sizes {
  /** Of each load, seconds; whole ones, as wrk counts. */
  seconds: number
  /** How often what is done one at a time is done. */
  repeat: number
  /** Of the Deployment. */
  replicas: number
  /** In the list. */
  listed: number
  /** Stored while memory is measured. */
  stored: number
  /** CRDs while their cost is measured; then twice as many. */
  definitions: number
  /** In the larger round of the watch measurement. */
  watchers: number
  /** For which a link is cut, seconds. */
  cut: number
}

export interface Bench {
  cluster: BenchCluster
  /** As the cluster's administrator, over HTTPS. */
  client: Client
  sizes: Sizes
  /** A new namespace, with its default ServiceAccount; removed with everything in it at the end of the measurement. */
  namespace(): Promise<string>
  /** Called at the end of the measurement, last one first. */
  afterwards(clean: () => unknown): void
  /** Progress, for a person. */
  say(line: string): void
}

export type Measurement = (bench: Bench) => Promise<Row[]>
/** One that needs no cluster: it runs in this process. */
export type LocalMeasurement = () => Promise<Row[]>

/** Large is good for rates, small for times and memory. */
const more = (unit: Unit): boolean => unit === '/s' || unit === 'MB/s' || unit === '%'

/** How near a figure is to its floor: 1 is as good as the floor; undefined without one. */
export function share({ unit, value, floor }: Row): number | undefined {
  if (floor === undefined || floor === 0 || value === 0) return undefined
  return more(unit) ? value / floor : floor / value
}

/** Whether the target is reached; undefined without one. */
export const reached = ({ unit, value, target }: Row): boolean | undefined =>
  target === undefined ? undefined : more(unit) ? value >= target : value <= target
