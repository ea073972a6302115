/**
 * The message blocks of the registry's stream, where nats-server runs on this machine: with a sync of its own for each batch of messages an
 * API server makes them durable before anybody learns of them. One sync serves all writes that are under way, as etcd's does, where
 * `sync_interval: always` costs one a message. nats-server writes a message to its block before it hands it to a consumer.
 */
import { statSync } from 'node:fs'
import { open, readdir, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { streamName } from './stream.ts'

interface Block {
  readonly index: number
  readonly file: FileHandle
  readonly inode: number
}

export interface StoreFiles {
  /** Resolves when all that was written before the call is on disk. Rejects when that cannot be had: nothing is known of the disk then. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** `storeDir` is nats-server's `store_dir`; the stream must exist at the first sync. */
export function storeFiles(storeDir: string): StoreFiles {
  let directory = ''
  /** The newest block and those before it that may have been written to since the last sync. */
  let blocks: Block[] = []

  const fileOf = (index: number): string => path.join(directory, `${index}.blk`)
  async function openBlock(index: number): Promise<Block> {
    const file = await open(fileOf(index), 'r')
    return { index, file, inode: (await file.stat()).ino }
  }
  // Asked before each sync: a turn of the thread pool costs many times what the look itself does.
  const inodeOf = (index: number): number | undefined => statSync(fileOf(index), { throwIfNoEntry: false })?.ino
  const isCurrent = (newest: Block | undefined): newest is Block =>
    newest !== undefined && inodeOf(newest.index) === newest.inode && inodeOf(newest.index + 1) === undefined

  /** Opens what is there now: blocks are added at the end, and one that lost messages may be written anew under its name. */
  async function refresh(): Promise<void> {
    directory ||= await openStream(storeDir)
    const newest = blocks.at(-1)
    if (newest && inodeOf(newest.index) === newest.inode) {
      for (let next = newest.index + 1; inodeOf(next) !== undefined; next++) blocks.push(await openBlock(next))
    } else {
      const indexes = (await readdir(directory)).flatMap(name => /^(\d+)\.blk$/.exec(name)?.[1] ?? []).map(Number)
      const from = newest?.index ?? 0
      await closeAll()
      for (const index of indexes.filter(i => i >= from).sort((a, b) => a - b)) blocks.push(await openBlock(index))
    }
    await syncFile(directory)
  }

  async function closeAll(): Promise<void> {
    await Promise.all(blocks.splice(0).map(b => b.file.close()))
  }

  async function sync(): Promise<void> {
    if (!isCurrent(blocks.at(-1))) await refresh()
    await Promise.all(blocks.map(b => b.file.datasync()))
    // To all but the newest nothing came after they were looked for.
    if (blocks.length > 1) await Promise.all(blocks.splice(0, blocks.length - 1).map(b => b.file.close()))
  }

  /** One at a time. */
  let last = Promise.resolve()
  return {
    sync: () => (last = last.then(sync)),
    close: () => last.catch(() => {}).then(closeAll),
  }
}

/** The directory of the messages, `<store_dir>/jetstream/<account>/streams/<stream>/msgs`. What makes the stream one is on disk then. */
async function openStream(storeDir: string): Promise<string> {
  const accounts = path.join(storeDir, 'jetstream')
  for (const account of await readdir(accounts)) {
    const stream = path.join(accounts, account, 'streams', streamName)
    const files = await readdir(stream).catch((): string[] => [])
    if (!files.includes('msgs')) continue
    const above = [path.dirname(stream), path.join(accounts, account), accounts, storeDir]
    for (const name of [...files.map(file => path.join(stream, file)), stream, ...above]) await syncFile(name)
    return path.join(stream, 'msgs')
  }
  throw new Error(`${storeDir} is not the store of the nats-server that holds the registry: it has no stream ${streamName}`)
}

/** A file or a directory. */
async function syncFile(name: string): Promise<void> {
  const handle = await open(name, 'r')
  await handle.sync().finally(() => handle.close())
}
