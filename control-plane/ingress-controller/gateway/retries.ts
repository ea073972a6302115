/** How long a backend has, and when it is asked again, as HAProxy's lines. Each throws an Unsupported for what cannot be. */
import { Unsupported } from './filters.ts'
import type { RouteRule } from './types.ts'

/** GEP-2257: `10s`, `1m30s`, `500ms`; undefined for none, which `0s` is, too. In ms. */
function durationMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) throw new Unsupported(`"${text}" is no duration`)
  const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
  const total = [...text.matchAll(/(\d+)(ms|h|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit!]!, 0)
  return total > 0 ? total : undefined
}

/** Those that HAProxy can ask again after. */
const retried = new Set([401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504])

export function tryLines({ timeouts, retry }: RouteRule<unknown>): string[] {
  const times = [durationMs(timeouts?.request), durationMs(timeouts?.backendRequest)].filter(t => t !== undefined)
  const timeout = times.length > 0 ? [`timeout server ${Math.min(...times)}ms`] : []
  if (!retry) return times.length > 0 ? [...timeout, 'retry-on conn-failure empty-response'] : []
  const { attempts = 1, codes = [], backoff } = retry
  if (durationMs(backoff) !== undefined) throw new Unsupported('a pause between retries is not supported')
  const odd = codes.find(c => !retried.has(c))
  if (odd !== undefined) throw new Unsupported(`retries after status ${odd} are not supported`)
  if (!(attempts >= 0 && attempts <= 100)) throw new Unsupported(`${attempts} retries are not supported`)
  return [...timeout, `retries ${attempts}`, ['retry-on conn-failure empty-response response-timeout', ...new Set(codes)].join(' ')]
}
