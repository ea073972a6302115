/** Messages that are none of ours: said once each, but not more of it than somebody can read. */
import type { Msg } from 'nats'
import type { Logger } from '../component/log.ts'

/** So many lines at once, then one a second. */
const burst = 10
const lineMs = 1_000
const cut = (text: string | undefined): string | undefined => text && (text.length > 200 ? `${text.slice(0, 200)}...` : text)

/** How to say that a message was dropped: its subjects, shortened, and why. What is not said is counted in the line that follows. */
export function garbageLog(log: Logger, what: string): (m: Pick<Msg, 'subject' | 'reply'>, why: string) => void {
  let lines = burst
  let filled = performance.now()
  let unsaid = 0
  let timer: NodeJS.Timeout | undefined
  const rest = (): void => {
    timer = undefined
    if (unsaid === 0) return
    log.warn({ messages: unsaid }, `${what}: more of them`)
    unsaid = 0
  }
  return (m, why) => {
    const now = performance.now()
    const gained = Math.floor((now - filled) / lineMs)
    if (gained > 0) {
      lines = Math.min(burst, lines + gained)
      filled = now
    }
    if (lines > 0) {
      lines--
      log.warn({ subject: cut(m.subject), reply: cut(m.reply), why: cut(why) }, what)
      return
    }
    unsaid++
    timer ??= setTimeout(rest, lineMs).unref()
  }
}
