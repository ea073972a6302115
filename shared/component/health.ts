/** /livez, /readyz and /healthz as k8s.io/apiserver/pkg/server/healthz prints them. */
import { observeHealthcheck } from './slis.ts'

export interface HealthText {
  readonly code: 200 | 500
  readonly text: string
}
export interface HealthCheck {
  readonly name: string
  /** Absent: part of all three. */
  readonly only?: 'readyz'
  /** What is wrong, undefined when nothing is. */
  readonly check: () => string | undefined
}

/** `single` names one check, `''` asks for all; undefined when there is none of that name. */
export function healthText(
  kind: 'healthz' | 'livez' | 'readyz',
  single: string,
  query: URLSearchParams,
  all: readonly HealthCheck[],
): HealthText | undefined {
  const checks = all.filter(c => c.only === undefined || c.only === kind)
  const check = (c: HealthCheck): string | undefined => {
    const wrong = c.check()
    observeHealthcheck(c.name, kind, wrong === undefined)
    return wrong
  }
  if (single !== '') {
    const one = checks.find(c => c.name === single)
    if (!one) return undefined
    const wrong = check(one)
    return wrong === undefined ? { code: 200, text: 'ok' } : { code: 500, text: `internal server error: ${wrong}\n` }
  }
  const excluded = new Set(query.getAll('exclude'))
  const lines: string[] = []
  let failed = false
  for (const c of checks) {
    if (excluded.has(c.name)) {
      lines.push(`[+]${c.name} excluded: ok\n`)
      continue
    }
    const wrong = check(c)
    if (wrong !== undefined) failed = true
    lines.push(wrong === undefined ? `[+]${c.name} ok\n` : `[-]${c.name} failed: reason withheld\n`)
  }
  const unknown = [...excluded].filter(name => !checks.some(c => c.name === name))
  if (unknown.length > 0)
    lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown.map(n => JSON.stringify(n)).join(',')}\n`)
  if (failed) return { code: 500, text: `${lines.join('')}${kind} check failed\n` }
  return { code: 200, text: query.has('verbose') ? `${lines.join('')}${kind} check passed\n` : 'ok' }
}
