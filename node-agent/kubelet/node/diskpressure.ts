/** Whether the disk of the node's state directory is nearly full: the `nodefs.available` signal of upstream's eviction manager, without evictions. */
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

export function hasDiskPressure(directory: string, mustBeLeft: (size: number) => number): boolean {
  const disk = statfsSync(directory)
  return disk.bavail * disk.bsize < mustBeLeft(disk.blocks * disk.bsize)
}
