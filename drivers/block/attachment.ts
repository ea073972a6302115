/**
 * Where a disk is attached, and its device there: files beside its image, which the processes of all nodes see. `attached` has the node's
 * id, `device` the loop device that it was last given.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { lockFile } from '#shared/linux/flock.ts'
import { attachLoop, detachLoop, devicesOf, emptyLoop, isFreed } from '#shared/linux/loop.ts'
import { run } from '#shared/linux/run.ts'
import type { Meta, turns } from '../store.ts'
import { formatMs, mountedBeside, tune } from './disk.ts'
import { endFileSystem, fileSystemOf } from './ext4.ts'

const copyMs = 600_000
const lockMs = 60_000

export const imageOf = (place: string): string => join(place, 'image')

export interface Attachments {
  /**
   * One thing at a time happens to where a volume is attached, whichever node's process is asked: a call that was given up may still be
   * under way in one when another is asked for the contrary. The volume must be there.
   */
  alone<T>(id: string, work: () => Promise<T>): Promise<T>
  /** The id of the node that has it. */
  nodeOf(id: string): Promise<string | undefined>
  /** Gives it to a node, unless another one has it: then it rejects with FailedPrecondition. */
  attach(id: string, node: string): Promise<void>
  /**
   * Takes it away from a node, whether or not that knows: what still has it mounted or open gets errors, so that of two nodes one writes.
   */
  detach(id: string): Promise<void>
  /** The device of the node that has it; undefined when there is none. Others of its image belong to nodes that have lost it. */
  deviceOf(id: string): Promise<string | undefined>
  /** The same, made when there is none. */
  makeDevice(meta: Meta): Promise<string>
  /** Whether nobody had the device open any more: then it is gone. */
  freeDevice(id: string): Promise<boolean>
  /** Detaches the devices of an image that is to go. */
  freeAll(id: string): Promise<void>
  /** Copies an image. One that is the disk `of` may be mounted: it is frozen meanwhile. */
  copy(from: string, to: string, of?: string): Promise<void>
}

const ignoreMissing = (e: NodeJS.ErrnoException): undefined => {
  if (e.code !== 'ENOENT') throw e
}

/** `pathOf` is the directory of a volume. */
export function attachments(pathOf: (id: string) => string, inTurn: ReturnType<typeof turns>): Attachments {
  const image = (id: string): string => imageOf(pathOf(id))
  const attachedFile = (id: string): string => join(pathOf(id), 'attached')
  const deviceFile = (id: string): string => join(pathOf(id), 'device')
  const nodeOf = (id: string): Promise<string | undefined> => readFile(attachedFile(id), 'utf8').catch(ignoreMissing)

  async function deviceOf(id: string): Promise<string | undefined> {
    const device = await readFile(deviceFile(id), 'utf8').catch(ignoreMissing)
    return device !== undefined && (await devicesOf(image(id))).includes(device) ? device : undefined
  }
  async function endDevice(id: string): Promise<void> {
    const device = await deviceOf(id)
    if (device === undefined) return
    // Freed by the last mount meanwhile.
    const unlessGone = async (e: unknown): Promise<void> => {
      if ((await deviceOf(id)) !== undefined) throw e
    }
    if ((await fileSystemOf(device)) === 'ext4') await mountedBeside(device, place => endFileSystem(place, formatMs)).catch(unlessGone)
    await emptyLoop(device).catch(unlessGone)
    await detachLoop(image(id), device)
  }
  return {
    alone: (id, work) =>
      inTurn(id, async () => {
        const lock = await lockFile(join(pathOf(id), 'lock'), { signal: AbortSignal.timeout(lockMs) })
        return await work().finally(lock.release)
      }),
    nodeOf,
    async attach(id, node) {
      // Whoever makes the file has the volume, whichever process asks.
      await writeFile(attachedFile(id), node, { flag: 'wx' }).catch(async (e: NodeJS.ErrnoException) => {
        if (e.code !== 'EEXIST') throw e
        const at = await nodeOf(id)
        if (at !== node) throw new RpcError(Code.failedPrecondition, `volume ${id} is already attached to ${at}`)
      })
    },
    async detach(id) {
      await endDevice(id)
      await rm(deviceFile(id), { force: true })
      await rm(attachedFile(id), { force: true })
    },
    deviceOf,
    async makeDevice(meta) {
      const known = await deviceOf(meta.id)
      if (known !== undefined) return known
      const device = await attachLoop(image(meta.id))
      await writeFile(deviceFile(meta.id), device)
      await tune(device, meta)
      return device
    },
    async freeDevice(id) {
      const device = await deviceOf(id)
      if (device !== undefined && !(await isFreed(image(id), device))) return false
      await rm(deviceFile(id), { force: true })
      return true
    },
    async freeAll(id) {
      for (const device of await devicesOf(image(id))) await detachLoop(image(id), device)
    },
    async copy(from, to, of) {
      // Holes stay holes, and zeros that were written stay written: the journal's are among them.
      const done = async (): Promise<void> =>
        void (await run('cp', ['--reflink=auto', '--sparse=auto', '--', from, to], { timeoutMs: copyMs }))
      const device = of === undefined ? undefined : await deviceOf(of)
      if (device === undefined || (await fileSystemOf(device)) !== 'ext4') return done()
      await mountedBeside(device, async place => {
        await run('fsfreeze', ['--freeze', place])
        try {
          await done()
        } finally {
          await run('fsfreeze', ['--unfreeze', place])
        }
      })
    },
  }
}
