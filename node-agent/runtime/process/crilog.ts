/** Writing the CRI log format: `<RFC3339Nano> <stream> <P|F> <text>`. */

const newline = 0x0a

/** `2026-01-02T03:04:05.678901000Z`: as fine as the clock is. */
function timestamp(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000)
  return `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 20)}${String(micros % 1_000_000).padStart(6, '0')}000Z`
}

/**
 * Takes output as it comes and hands on entries. Output without an end of line is written at once, as part of one (tag P), as conmon does.
 */
export function criWriter(stream: 'stdout' | 'stderr', write: (entries: Buffer) => void): (data: Buffer) => void {
  return data => {
    const parts: Buffer[] = []
    const time = timestamp()
    const [whole, part] = [Buffer.from(`${time} ${stream} F `), Buffer.from(`${time} ${stream} P `)]
    let start = 0
    for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
      parts.push(whole, data.subarray(start, end + 1))
      start = end + 1
    }
    if (start < data.length) parts.push(part, data.subarray(start), Buffer.from([newline]))
    write(Buffer.concat(parts))
  }
}
