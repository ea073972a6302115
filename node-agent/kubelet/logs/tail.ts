/** Where the last lines of a log file begin. */
import type { FileHandle } from 'node:fs/promises'

const block = 64 * 1024

/** The offset of the first of the last `lines` lines; 0 when there are fewer. Reads backwards. */
export async function tailOffset(file: FileHandle, size: number, lines: number): Promise<number> {
  if (lines <= 0) return size
  let found = 0
  const buffer = Buffer.alloc(block)
  for (let end = size; end > 0;) {
    const begin = Math.max(0, end - block)
    const { bytesRead } = await file.read(buffer, 0, end - begin, begin)
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The newline that ends the file begins no line.
      if (buffer[i] !== 0x0a || begin + i === size - 1) continue
      if (++found === lines) return begin + i + 1
    }
    end = begin
  }
  return 0
}
