/** The names of signals in images and pod specs. */
import { constants } from 'node:os'

/** Of the first real-time signal as the C library numbers them, and the last. */
const [rtmin, rtmax] = [34, 64]

/** `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`: its number on this system; undefined when there is no such signal. */
export function signalNumber(text: string): number | undefined {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= rtmax ? Number(text) : undefined
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG')
  const known = (constants.signals as { [name: string]: number })[name]
  if (known !== undefined) return known
  const [, end, sign, more = '0'] = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name) ?? []
  if (end === undefined) return undefined
  const number = (end === 'MIN' ? rtmin : rtmax) + (sign === '-' ? -Number(more) : Number(more))
  return number >= rtmin && number <= rtmax ? number : undefined
}

/** The name of a signal as the API has it, `SIGQUIT` or `SIGRTMIN+3`; undefined when there is no such signal. */
export function signalName(text: string): string | undefined {
  const number = signalNumber(text)
  if (number === undefined) return undefined
  if (number === rtmin) return 'SIGRTMIN'
  if (number === rtmax) return 'SIGRTMAX'
  // The API counts the upper half from the end.
  if (number > rtmin) return number - rtmin <= 15 ? `SIGRTMIN+${number - rtmin}` : `SIGRTMAX-${rtmax - number}`
  return Object.entries(constants.signals).find(([name, n]) => n === number && name !== 'SIGIOT' && name !== 'SIGPOLL')?.[0]
}
