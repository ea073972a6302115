/** Every component logs JSON lines to standard output, one an event, with the object's name. */
import { pino, type Logger } from 'pino'

export type { Logger }

// No component ends because its log cannot be written: while the disk is full, so much waits, and what comes then is lost.
const bounded = (to: { fd: number } | { dest: string }) => {
  const output = pino.destination({ ...to, sync: true, maxLength: 256 * 1024 })
  output.on('error', () => {})
  return output
}
const output = bounded({ fd: 1 })

/** To standard output, or to the end of a file. */
export const logger = (component: string, file?: string): Logger =>
  pino(
    { base: { component }, level: process.env['LOG_LEVEL'] ?? 'info', timestamp: pino.stdTimeFunctions.isoTime },
    file === undefined ? output : bounded({ dest: file }),
  )
