import { appendFileSync, fstatSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { storeFiles } from '#control-plane/apiserver/registry/storefiles.ts'
import { streamName } from '#control-plane/apiserver/registry/stream.ts'

test('what a block got after its sync, while the next block began, is synced by the next sync', async () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'storefiles-'))
  onTestFinished(() => rmSync(storeDir, { recursive: true }))
  const blocks = join(storeDir, 'jetstream', 'A', 'streams', streamName, 'msgs')
  mkdirSync(blocks, { recursive: true })
  const inodes = new Map<number, number>()
  const newBlock = (index: number): void => {
    writeFileSync(join(blocks, `${index}.blk`), 'message')
    inodes.set(statSync(join(blocks, `${index}.blk`)).ino, index)
  }
  newBlock(1)
  const files = storeFiles(storeDir)
  await files.sync()

  let synced: (number | undefined)[] = []
  const any = await open(storeDir, 'r')
  const prototype = Object.getPrototypeOf(any) as FileHandle
  await any.close()
  const spy = vi.spyOn(prototype, 'datasync').mockImplementation(async function (this: FileHandle) {
    synced.push(inodes.get(fstatSync(this.fd).ino))
    if (inodes.size > 1) return
    // As nats-server may, just after the sync: the last message of a block, and the block after it.
    appendFileSync(join(blocks, '1.blk'), 'last')
    newBlock(2)
  })
  onTestFinished(() => spy.mockRestore())
  await files.sync()
  expect(synced).toEqual([1])
  synced = []
  await files.sync()
  expect(synced).toEqual([1, 2])
  synced = []
  // Nothing can come to the first one any more.
  await files.sync()
  expect(synced).toEqual([2])
  await files.close()
})
