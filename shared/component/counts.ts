/** Counters and histograms by labels, in plain numbers. */
import { histogram, type Histogram } from './histogram.ts'
import { addMetric, histogramSamples, type Sample } from './metrics.ts'
import type { Registry } from 'prom-client'

type Labels = Readonly<Record<string, string>>

export interface Counts {
  /** Counts one more, or `by` more. */
  add(labels: Labels, by?: number): void
  /** Forgets those whose labels have all of these. */
  forget(labels: Labels): void
  samples(): Sample[]
}
export interface Durations {
  observe(seconds: number, labels?: Labels): void
  samples(name: string): Sample[]
}

/** Beyond that many different labels nothing new is counted. */
const mostLabels = 5_000

export function counts(): Counts {
  const all = new Map<string, { labels: Labels; value: number }>()
  return {
    add(labels, by = 1) {
      if (by === 0) return
      const key = JSON.stringify(labels)
      const known = all.get(key)
      if (known) known.value += by
      else if (all.size < mostLabels) all.set(key, { labels, value: by })
    },
    forget(some) {
      for (const [key, { labels }] of all) if (Object.entries(some).every(([name, value]) => labels[name] === value)) all.delete(key)
    },
    samples: () => [...all.values()],
  }
}

/** How many there are of each. */
export function countBy<T>(items: Iterable<T>, labelsOf: (item: T) => Labels): Sample[] {
  const all = counts()
  for (const item of items) all.add(labelsOf(item))
  return all.samples()
}

export function durations(bounds: readonly number[]): Durations {
  const all = new Map<string, { labels: Labels; seen: Histogram }>()
  return {
    observe(seconds, labels = {}) {
      const key = JSON.stringify(labels)
      let known = all.get(key)
      if (!known && all.size < mostLabels) all.set(key, (known = { labels, seen: histogram(bounds) }))
      known?.seen.observe(seconds)
    },
    samples: name => [...all.values()].flatMap(({ labels, seen }) => histogramSamples(name, labels, seen)),
  }
}

/** What a component's parts count, each added to the registry when it is first asked for. */
export interface ComponentMetrics {
  counter(name: string, help: string): Counts
  /** `bounds` are the buckets' upper ends. */
  histogram(name: string, help: string, bounds: readonly number[]): Durations
  /** Asked whenever somebody looks. */
  gauge(name: string, help: string, samples: () => Sample[]): void
}

/** Without a registry nobody ever looks. */
export function componentMetrics(registry: Registry | undefined): ComponentMetrics {
  const known = new Map<string, Counts | Durations>()
  return {
    counter(name, help) {
      const made = (known.get(name) as Counts | undefined) ?? counts()
      if (!known.has(name) && registry) addMetric(registry, name, 'counter', help, made.samples)
      known.set(name, made)
      return made
    },
    histogram(name, help, bounds) {
      const made = (known.get(name) as Durations | undefined) ?? durations(bounds)
      if (!known.has(name) && registry) addMetric(registry, name, 'histogram', help, () => made.samples(name))
      known.set(name, made)
      return made
    },
    gauge(name, help, samples) {
      if (registry) addMetric(registry, name, 'gauge', help, samples)
    },
  }
}

/** Bounds of a histogram, each `factor` times the one before. */
export const exponential = (first: number, factor: number, count: number): number[] =>
  Array.from({ length: count }, (_, n) => first * factor ** n)
