/**
 * Hands frames from one end of a line (descriptor 3) to the other (4) and back, each some ms late. Arguments: ms from 3 to 4, ms from 4 to
 * 3.
 */
import { read, write } from 'node:fs'

/** Frames on their way in one direction; more than this are lost, as in a router's queue. */
const queueLength = 10_000
const frameSize = 65_536

function relay(from: number, to: number, ms: number): void {
  const queue: { due: number; frame: Buffer }[] = []
  const buffer = Buffer.allocUnsafe(frameSize)
  let waiting = false
  // A frame for an end that is down is lost.
  const send = (frame: Buffer): void => write(to, frame, () => {})
  function flush(): void {
    const now = performance.now()
    let sent = 0
    while (queue[sent] && queue[sent]!.due <= now) send(queue[sent++]!.frame)
    queue.splice(0, sent)
    waiting = queue[0] !== undefined
    if (queue[0]) setTimeout(flush, queue[0].due - now)
  }
  function next(): void {
    read(from, buffer, 0, frameSize, null, (error, length) => {
      // An end that is not up yet has nothing to read.
      if (error) return void setTimeout(next, 10)
      if (queue.length < queueLength) queue.push({ due: performance.now() + ms, frame: Buffer.from(buffer.subarray(0, length)) })
      if (!waiting) flush()
      next()
    })
  }
  next()
}

const [out = 0, back = 0] = process.argv.slice(2).map(Number)
relay(3, 4, out)
relay(4, 3, back)
