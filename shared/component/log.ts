/** Every component logs JSON lines to standard output, one an event, with the object's name. */
import { pino, type Logger } from 'pino'

export type { Logger }
export const logger = (component: string): Logger => pino({ base: { component }, level: process.env['LOG_LEVEL'] ?? 'info', timestamp: pino.stdTimeFunctions.isoTime })
