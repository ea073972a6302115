/** How long a driver has to answer a call: on its CSIDriver, as `--timeout` is a flag of the sidecars'. */
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import { parseDuration } from '#shared/machinery/duration.ts'

/** A duration as Go writes it: `15s`. */
export const timeoutAnnotation = 'csi.coxswain.io/timeout'
const defaultMs = 25_000
/** Calls are requests to the API server, too, which ends those that take a minute. */
const longestMs = 50_000

/** Of a driver's calls, in ms; drivers are asked again. `wrong` is why its annotation says nothing. */
export function timeoutOf(driver: CSIDriver | undefined): { ms: number; wrong?: string } {
  const text = driver?.metadata.annotations?.[timeoutAnnotation]
  if (text === undefined) return { ms: defaultMs }
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= 1 && ms <= longestMs) return { ms: Math.round(ms) }
  const named = `annotation ${timeoutAnnotation}: ${JSON.stringify(text.slice(0, 100))}`
  return { ms: defaultMs, wrong: `${named} is no duration between 1ms and ${longestMs / 1000}s: calls have ${defaultMs / 1000}s` }
}
