/**
 * Prometheus' text format, for thousands of samples that are made anew at each scrape.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface Exposition {
  /** Begins a metric; the samples that follow are its. */
  metric(name: string, type: 'counter' | 'gauge', help: string): void
  /** `labels` as `labelsOf` makes them; `at` in ms since 1970, absent for now. */
  sample(labels: string, value: number, at?: number): void
  text(): string
}

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

export function newExposition(): Exposition {
  const lines: string[] = []
  let current = ''
  return {
    metric(name, type, help) {
      current = name
      lines.push(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`)
    },
    sample(labels, value, at) {
      lines.push(at === undefined ? `${current}${labels} ${value}\n` : `${current}${labels} ${value} ${at}\n`)
    },
    text: () => lines.join(''),
  }
}

/** `{a="b",c="d"}`; names as they are, values escaped. */
export function labelsOf(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
const escaped = (value: string): string => (/["\\\n]/.test(value) ? value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n') : value)
