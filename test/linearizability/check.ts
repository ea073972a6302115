/**
 * Whether what clients saw of a register can be explained by a register that does one thing at a time, each between its call and its
 * return: the algorithm of Wing and Gong with Lowe's memory of what was tried, as Porcupine does it. Registers do not know each other, so a
 * history is judged key by key.
 */

/**
 * `null` is the value of what does not exist. A compare-and-swap of unknown outcome may have happened at any time since its call, or never.
 */
export type Action =
  { kind: 'read'; value: string | null } | { kind: 'cas'; from: string | null; to: string | null; outcome: 'done' | 'refused' | 'unknown' }

export interface Operation {
  key: string
  /** Who did it; for those who read a history. */
  client: string
  /** Positions in the one order of all calls and returns. `returned` says nothing when the outcome is unknown. */
  called: number
  returned: number
  action: Action
}

export interface Violation {
  key: string
  /** The operations of that key by their calls. */
  operations: Operation[]
  /** The operation that nothing explains, in the attempt that came furthest. */
  stuck: Operation
}

/** The value after an action, undefined when it cannot happen on that value. */
function step(value: string | null, action: Action): { value: string | null } | undefined {
  if (action.kind === 'read') return action.value === value ? { value } : undefined
  if (action.outcome === 'refused') return value === action.from ? undefined : { value }
  return value === action.from ? { value: action.to } : undefined
}

/** An entry of the list of calls and returns that are not explained yet. */
interface Entry {
  id: number
  operation: Operation
  /** Of a call: its return, unless the outcome is unknown. */
  end: Entry | undefined
  isCall: boolean
  previous: Entry | undefined
  next: Entry | undefined
}

/** Undefined when every key has an explanation. All registers begin as `null`. */
export function findViolation(history: readonly Operation[]): Violation | undefined {
  for (const [key, operations] of Map.groupBy(history, o => o.key)) {
    const sorted = [...operations].sort((a, b) => a.called - b.called)
    const stuck = explain(sorted)
    if (stuck) return { key, operations: sorted, stuck }
  }
  return undefined
}

function entriesOf(operations: readonly Operation[]): Entry {
  const all = operations.flatMap((operation, id) => {
    const call: Entry = { id, operation, end: undefined, isCall: true, previous: undefined, next: undefined }
    if (operation.action.kind === 'cas' && operation.action.outcome === 'unknown') return [{ at: operation.called, entry: call }]
    call.end = { id, operation, end: undefined, isCall: false, previous: undefined, next: undefined }
    return [
      { at: operation.called, entry: call },
      { at: operation.returned, entry: call.end },
    ]
  })
  const head: Entry = { id: -1, operation: operations[0]!, end: undefined, isCall: false, previous: undefined, next: undefined }
  let last = head
  for (const { entry } of all.sort((a, b) => a.at - b.at)) {
    entry.previous = last
    last = last.next = entry
  }
  return head
}

function unlink(entry: Entry | undefined): void {
  if (!entry) return
  entry.previous!.next = entry.next
  if (entry.next) entry.next.previous = entry.previous
}
function relink(entry: Entry | undefined): void {
  if (!entry) return
  entry.previous!.next = entry
  if (entry.next) entry.next.previous = entry
}

/** The operation at which all attempts end; undefined when one explains everything. */
function explain(operations: readonly Operation[]): Operation | undefined {
  const head = entriesOf(operations)
  const tried = new Set<string>()
  const done: { entry: Entry; value: string | null; highest: number }[] = []
  let missing = operations.filter(o => o.action.kind === 'read' || o.action.outcome !== 'unknown').length
  let value: string | null = null
  let highest = -1
  let furthest = Infinity
  let stuck = operations[0]!
  /** What is done is all up to the highest except these; few, since most is done in order. */
  const situation = (without: Entry, after: string | null): string => {
    const top = Math.max(highest, without.id)
    let open = ''
    for (let e = head.next; e && e.id <= top; e = e.next) if (e.isCall && e !== without) open += `${e.id},`
    return `${top} ${open} ${JSON.stringify(after)}`
  }
  for (let entry = head.next; missing > 0;) {
    if (entry?.isCall) {
      const after = step(value, entry.operation.action)
      if (after) {
        const now = situation(entry, after.value)
        if (!tried.has(now)) {
          tried.add(now)
          done.push({ entry, value, highest })
          value = after.value
          highest = Math.max(highest, entry.id)
          if (entry.end) missing--
          unlink(entry.end)
          unlink(entry)
          entry = head.next
          continue
        }
      }
      entry = entry.next
      continue
    }
    // Somebody has his answer here, and nothing that was possible before explains it.
    if (entry && missing < furthest) {
      furthest = missing
      stuck = entry.operation
    }
    const back = done.pop()
    if (!back) return stuck
    relink(back.entry)
    relink(back.entry.end)
    if (back.entry.end) missing++
    value = back.value
    highest = back.highest
    entry = back.entry.next
  }
  return undefined
}
