/**
 * Tells when processes have gone that are no children of ours, for which there is no event: all that anybody waits for are looked at
 * together now and then.
 */
import { processStartTime } from '#shared/component/processes.ts'

const LOOK_MS = 5_000

interface Watched {
  pid: number
  startTime: number | undefined
  gone: () => void
}
const watched = new Set<Watched>()
let timer: NodeJS.Timeout | undefined

function look(): void {
  for (const each of watched) {
    if (each.startTime !== undefined && processStartTime(each.pid) === each.startTime) continue
    watched.delete(each)
    each.gone()
  }
  if (watched.size > 0) return
  clearInterval(timer)
  timer = undefined
}

/** Calls `gone` once, within some seconds of the end of a process. Returns how to stop waiting. */
export function whenGone(pid: number, gone: () => void): () => void {
  const each = { pid, startTime: processStartTime(pid), gone }
  watched.add(each)
  timer ??= setInterval(look, LOOK_MS).unref()
  return () => void watched.delete(each)
}
