/** Every component logs JSON lines to standard output, one an event, with the object's name. */
import { pino, type Logger } from 'pino'

export type { Logger }

// No component ends because its log cannot be written: while the disk is full, so much waits, and what comes then is lost.
const output = pino.destination({ fd: 1, sync: true, maxLength: 256 * 1024 })
output.on('error', () => {})

export const logger = (component: string): Logger =>
  pino({ base: { component }, level: process.env['LOG_LEVEL'] ?? 'info', timestamp: pino.stdTimeFunctions.isoTime }, output)
