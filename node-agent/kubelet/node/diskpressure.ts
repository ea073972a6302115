/**
 * Whether the disk of the node's state directory is nearly full: the `nodefs.available` signal of upstream's eviction manager, without
 * evictions.
 */
import { statfsSync } from 'node:fs'
import * as z from 'zod'
import { quantityValue } from '#shared/machinery/quantity.ts'

/** `nodefs.available<10%` or `nodefs.available<100Mi`: how much must be left, of a disk of that many bytes. */
export const evictionHardFlag = () =>
  z
    .string()
    .regex(/^nodefs\.available<(\d+(\.\d+)?%|\d+(\.\d+)?([KMGT]i?)?)$/, 'must be nodefs.available<10% or nodefs.available<100Mi')
    .transform(text => {
      const limit = text.slice(text.indexOf('<') + 1)
      return limit.endsWith('%') ? (size: number) => (size * Number(limit.slice(0, -1))) / 100 : () => quantityValue(limit)
    })

/**
 * Tells, whenever it is asked, whether there is too little space or was within the last `transitionMs`, so that a disk at its limit does
 * not flap.
 */
export function diskPressure(directory: string, mustBeLeft: (size: number) => number, transitionMs: number): () => boolean {
  let observed = -Infinity
  return () => {
    const { bavail, bsize, blocks } = statfsSync(directory)
    const now = performance.now()
    if (bavail * bsize < mustBeLeft(blocks * bsize)) observed = now
    return now - observed <= transitionMs
  }
}
