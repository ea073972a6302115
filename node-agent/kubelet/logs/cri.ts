/** The CRI log format: `<RFC3339Nano> <stream> <tags> <text>`, one line of the file for each line, or part of a line, of output. */

export interface LogLine {
  time: string
  stream: 'stdout' | 'stderr'
  /** The line goes on in the next entry. */
  partial: boolean
  text: string
}

/** Undefined for what is not such a line. */
export function parseLine(line: string): LogLine | undefined {
  const first = line.indexOf(' ')
  const second = line.indexOf(' ', first + 1)
  const third = line.indexOf(' ', second + 1)
  if (first <= 0 || second < 0) return undefined
  const stream = line.slice(first + 1, second)
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  const tags = third < 0 ? line.slice(second + 1) : line.slice(second + 1, third)
  return { time: line.slice(0, first), stream, partial: tags.split(':')[0] === 'P', text: third < 0 ? '' : line.slice(third + 1) }
}
