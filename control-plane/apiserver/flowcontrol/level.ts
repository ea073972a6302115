/** A priority level at work: how many seats are its own, how many it lends and borrows, and the requests that have them or wait. */
import type { PriorityLevelConfiguration } from '#shared/api/flowcontrol/prioritylevelconfiguration.ts'
import { newLine, type Line } from '../chain/runqueue.ts'
import { QueueSet, type QueueSetOptions } from './queueset.ts'

/** Seats, from a level's configuration and those of all others. */
export interface Limits {
  /** Its own. */
  readonly nominal: number
  /** Of those, how many others may use while they are free; how many of others it may use. */
  readonly lendable: number
  readonly borrowing: number
}

export interface Level {
  readonly name: string
  uid: string
  exempt: boolean
  limits: Limits
  /** Its part of all seats, 0 to 1. */
  share: number
  readonly set: QueueSet
  /** Where its requests wait for the event loop's time. */
  readonly line: Line
}

const sharesOf = ({ spec }: PriorityLevelConfiguration): number =>
  spec.type === 'Exempt' ? (spec.exempt?.nominalConcurrencyShares ?? 0) : (spec.limited?.nominalConcurrencyShares ?? 30)

/** How the server's seats are divided, in proportion to shares; rounded up, so that nobody has none. */
export function divide(levels: readonly PriorityLevelConfiguration[], seats: number): Limits[] {
  const sum = levels.reduce((n, level) => n + sharesOf(level), 0)
  return levels.map(level => {
    const { exempt, limited } = level.spec
    const nominal = sum === 0 ? 0 : Math.ceil((seats * sharesOf(level)) / sum)
    const lendable = Math.round((nominal * ((exempt ?? limited)?.lendablePercent ?? 0)) / 100)
    const percent = limited?.borrowingLimitPercent
    return { nominal, lendable, borrowing: percent === undefined ? seats : Math.round((nominal * percent) / 100) }
  })
}

export function queuingOf({ spec }: PriorityLevelConfiguration): QueueSetOptions {
  const queuing = spec.limited?.limitResponse?.queuing
  return { queues: queuing?.queues ?? 0, handSize: queuing?.handSize ?? 0, queueLengthLimit: queuing?.queueLengthLimit ?? 0 }
}

/**
 * Whether a level can have `seats` more: within its own at once, beyond them from what others lend and do not use. A lender takes seats
 * back at once, not at the next adjustment as upstream, which looks every ten seconds: for as long as the borrower's requests run there are
 * more than the server's.
 */
export function available(level: Level, all: Iterable<Level>, seats: number, inUse: number): boolean {
  if (level.exempt) return true
  const { nominal, borrowing } = level.limits
  const borrowed = inUse + seats - nominal
  if (borrowed <= 0) return true
  if (borrowed > borrowing) return false
  let free = 0
  for (const other of all) {
    if (other === level) continue
    const unused = other.limits.nominal - other.set.inUse
    if (unused >= 0) free += Math.min(other.limits.lendable, unused)
    else if (!other.exempt) free += unused
  }
  return borrowed <= free
}

/** Makes a level whose seats come from `all`. */
export function newLevel(name: string, options: QueueSetOptions, all: ReadonlyMap<string, Level>): Level {
  const level: Level = {
    name,
    uid: '',
    exempt: false,
    limits: { nominal: 0, lendable: 0, borrowing: 0 },
    share: 0,
    line: newLine(),
    set: new QueueSet(options, { available: (seats, inUse) => available(level, all.values(), seats, inUse) }),
  }
  return level
}
