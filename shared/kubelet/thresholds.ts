/**
 * Eviction thresholds as upstream's kubelet takes them (pkg/kubelet/eviction): `memory.available` below `100Mi`, `nodefs.available` below
 * `10%`. https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
 */
import { parseDuration } from '../machinery/duration.ts'
import { formatQuantity, normalQuantity, quantityFormatError, quantityOf, quantityValue } from '../machinery/quantity.ts'

export const signals = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'containerfs.available',
  'containerfs.inodesFree',
  'pid.available',
] as const
/** The last one nobody sets: it goes with a hard threshold of memory.available, for the memory that pods together may use. */
export type Signal = (typeof signals)[number] | 'allocatableMemory.available'

/** So many bytes (inodes, processes), as the quantity that was written; or a share of what there is, 0 to 1. */
export type Amount = { value: number; text: string } | { share: number }

/** Met when less than that is left. */
export interface Threshold {
  signal: Signal
  amount: Amount
  /** How long it must have been met before pods are evicted; 0: a hard threshold. */
  graceMs: number
  /** What must be free beyond it before evicting ends. */
  minReclaim?: Amount
}

/** Texts by signal, as KubeletConfiguration has them. */
export type Statements = Readonly<Record<string, string>>

export interface ThresholdOptions {
  hard?: Statements | undefined
  soft?: Statements | undefined
  softGracePeriod?: Statements | undefined
  minimumReclaim?: Statements | undefined
}

/** What applies when nobody says otherwise, on Linux. */
export const defaultEvictionHard: Statements = {
  'memory.available': '100Mi',
  'nodefs.available': '10%',
  'nodefs.inodesFree': '5%',
  'imagefs.available': '15%',
  'imagefs.inodesFree': '5%',
}

/** How much `amount` is of a capacity. Shares are single-precision numbers, as upstream's. */
export const amountOf = (amount: Amount, capacity: number): number =>
  'value' in amount ? amount.value : Math.trunc(capacity * Math.fround(amount.share))

function signalOf(name: string): Signal {
  if (!signals.includes(name as never)) throw new Error(`unsupported eviction signal ${name}`)
  return name as Signal
}

function percentage(text: string): number {
  const number = text.slice(0, -1)
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(number)) throw new Error(`strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`)
  return Math.fround(Number(number)) / 100
}

function quantity(text: string): { value: number; text: string } {
  const normal = normalQuantity(text)
  if (normal === undefined) throw new Error(quantityFormatError)
  return { value: quantityValue(normal), text: normal }
}

/** Undefined for 0% and 100%, which turn a threshold off. */
function amountFrom(signal: Signal, text: string): Amount | undefined {
  if (text === '0%' || text === '100%') return undefined
  if (text.endsWith('%')) {
    const share = percentage(text)
    if (share < 0) throw new Error(`eviction percentage threshold ${signal} must be >= 0%: ${text}`)
    if (share > 1) throw new Error(`eviction percentage threshold ${signal} must be <= 100%: ${text}`)
    return { share }
  }
  const amount = quantity(text)
  if (amount.value <= 0) throw new Error(`eviction threshold ${signal} must be positive: ${amount.text}`)
  return amount
}

function reclaimFrom(signal: Signal, text: string): Amount {
  if (text.endsWith('%')) {
    const share = percentage(text)
    if (share <= 0) throw new Error(`eviction percentage minimum reclaim ${signal} must be positive: ${text}`)
    return { share }
  }
  const amount = quantity(text)
  if (amount.value < 0) throw new Error(`negative eviction minimum reclaim specified for ${signal}`)
  return amount
}

function graceFrom(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new Error(`time: invalid duration ${JSON.stringify(text)}`)
  if (ms < 0) throw new Error(`invalid eviction grace period specified: ${text}, must be a positive value`)
  return ms
}

/** Reads thresholds. Throws in upstream's words what is wrong with them. Hard ones come first. */
export function parseThresholds({ hard = {}, soft = {}, softGracePeriod = {}, minimumReclaim = {} }: ThresholdOptions): Threshold[] {
  const graces = new Map(Object.entries(softGracePeriod).map(([name, text]) => [signalOf(name), graceFrom(text)] as const))
  const reclaims = new Map(
    Object.entries(minimumReclaim).map(([name, text]) => [signalOf(name), reclaimFrom(signalOf(name), text)] as const),
  )
  const read = (statements: Statements, graceOf: (signal: Signal) => number): Threshold[] =>
    Object.entries(statements).flatMap(([name, text]) => {
      const signal = signalOf(name)
      const amount = amountFrom(signal, text)
      if (amount === undefined) return []
      const minReclaim = reclaims.get(signal)
      return [{ signal, amount, graceMs: graceOf(signal), ...(minReclaim ? { minReclaim } : {}) }]
    })
  return [
    ...read(hard, () => 0),
    ...read(soft, signal => {
      const grace = graces.get(signal)
      if (grace === undefined) throw new Error(`grace period must be specified for the soft eviction threshold ${signal}`)
      return grace
    }),
  ]
}

/** `memory.available<100Mi,nodefs.available<10%` or `memory.available=1m30s`, as flags have them. Throws when it is not that. */
export function parseStatements(text: string, separator: '<' | '='): Statements {
  const entries = text.split(',').map(statement => {
    const [name, value, ...more] = statement.split(separator).map(part => part.trim())
    if (!name || !value || more.length > 0) throw new Error(`invalid statement ${JSON.stringify(statement)}, must be NAME${separator}VALUE`)
    return [name, value] as const
  })
  return Object.fromEntries(entries)
}

/** An amount of memory or disk in the words of a quantity: `1536Mi`. */
export const bytesText = (n: number): string => formatQuantity(quantityOf(Math.trunc(n), 'BinarySI'))
