/**
 * Buffers that a stream of data leaves behind. They lie outside of V8's heap, and go with the young objects that are collected whenever
 * these fill their space, which a stream's hardly do; before that V8 finds that too much lies outside, and marks the whole heap, again and
 * again: half of what a stream costs a process with a large heap. To collect the young ones in time takes next to nothing.
 */

/** V8 begins to mark at 64 MiB, of which each byte of a stream takes two or three. */
const passedBytes = 8 << 20
let passed = 0

/** So many bytes of a stream have come or gone. Without `--expose-gc` nothing happens. */
export function bytesPassed(bytes: number): void {
  passed += bytes
  if (passed < passedBytes) return
  passed = 0
  void globalThis.gc?.({ type: 'minor' })
}
