/** Records what clients of registers do and see, for the checker. */
import type { Action, Operation, Violation } from './check.ts'

export class History {
  readonly operations: Operation[] = []
  #clock = 0

  /**
   * Runs one request. `seen` says what an answer, or the failure instead of one, tells about which registers; nothing for what tells
   * nothing.
   */
  async record<T>(
    client: string,
    request: () => Promise<T>,
    seen: (answer: T | undefined, failure: unknown) => [key: string, action: Action][],
  ): Promise<T | undefined> {
    const called = this.#clock++
    let answer: T | undefined
    let failure: unknown
    try {
      answer = await request()
    } catch (e) {
      failure = e
    }
    const returned = this.#clock++
    for (const [key, action] of seen(answer, failure)) this.operations.push({ key, client, called, returned, action })
    return answer
  }
}

const show = (value: string | null): string => value ?? 'nothing'
const text = (a: Action): string => (a.kind === 'read' ? `read ${show(a.value)}` : `${show(a.from)} -> ${show(a.to)}: ${a.outcome}`)

/** The part of a history around what cannot be explained, a line an operation. */
export function describeViolation({ key, operations, stuck }: Violation): string {
  const near = operations.filter(o => o.called > stuck.called - 60 && o.called < stuck.returned + 10)
  return [
    `no order explains ${key}:`,
    ...near.map(
      o =>
        `${o === stuck ? '>' : ' '} ${o.called}..${o.action.kind === 'cas' && o.action.outcome === 'unknown' ? '' : o.returned} ${o.client} ${text(o.action)}`,
    ),
  ].join('\n')
}
