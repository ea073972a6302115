/** How often PodSecurity judged, under upstream's names (k8s.io/pod-security-admission/metrics). */
import { Counter, type Registry as MetricsRegistry } from 'prom-client'
import { version } from '../nonresource/version.ts'
import type { LevelVersion } from './policy.ts'

/** What a request was for. */
export interface Judged {
  readonly operation: string
  readonly resource: { readonly group: string; readonly resource: string }
  readonly subresource: string
}

export interface PodSecurityMetrics {
  evaluated(decision: 'allow' | 'deny', level: LevelVersion, mode: 'audit' | 'enforce' | 'warn', a: Judged): void
  exempted(a: Judged): void
  failed(fatal: boolean, a: Judged): void
}

const requestLabels = ['request_operation', 'resource', 'subresource'] as const

function labelsOf({ operation, resource: { group, resource }, subresource }: Judged): string[] {
  const what = group === '' && (resource === 'pods' || resource === 'namespaces') ? resource.slice(0, -1) : 'controller'
  return [operation.toLowerCase(), what, subresource]
}

/** Privileged is the same in all versions; of what is newer than this server only that is said. */
function versionOf({ level, version: asked }: LevelVersion): string {
  if (asked === 'latest' || level === 'privileged') return 'latest'
  return asked > Number(version.minor) ? 'future' : `v1.${asked}`
}

/** Counted in plain numbers: pods are judged more often than somebody asks. */
class Counts {
  readonly #counts = new Map<string, { labels: Record<string, string>; value: number }>()
  readonly #names: readonly string[]
  constructor(registry: MetricsRegistry, name: string, help: string, labelNames: readonly string[]) {
    const counts = this.#counts
    this.#names = labelNames
    new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const { labels, value } of counts.values()) this.inc(labels, value)
      },
    })
  }

  add(values: readonly string[]): void {
    const key = values.join()
    const count = this.#counts.get(key)
    if (count) count.value++
    else this.#counts.set(key, { labels: Object.fromEntries(this.#names.map((name, i) => [name, values[i]!])), value: 1 })
  }
}

export function podSecurityMetrics(registry: MetricsRegistry): PodSecurityMetrics {
  const evaluations = new Counts(
    registry,
    'pod_security_evaluations_total',
    'Number of policy evaluations that occurred, not counting ignored or exempt requests.',
    ['decision', 'policy_level', 'policy_version', 'mode', ...requestLabels],
  )
  const exemptions = new Counts(
    registry,
    'pod_security_exemptions_total',
    'Number of exempt requests, not counting ignored or out of scope requests.',
    requestLabels,
  )
  const errors = new Counts(registry, 'pod_security_errors_total', 'Number of errors preventing normal evaluation.', [
    'fatal',
    ...requestLabels,
  ])
  return {
    evaluated: (decision, level, mode, a) => evaluations.add([decision, level.level, versionOf(level), mode, ...labelsOf(a)]),
    exempted: a => exemptions.add(labelsOf(a)),
    failed: (fatal, a) => errors.add([String(fatal), ...labelsOf(a)]),
  }
}
