/**
 * Volumes that are made ready once on the node, whichever pods use them: `<root-dir>/plugins/<plugin>/<hash>/`, with the volume in
 * `globalmount/` and who uses it in `record.json`, so that another kubelet can go on or end it.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import { uidOf } from '../pod/containers.ts'
import { readDurable, writeDurable } from '../pod/durable.ts'
import type { ResolvedVolume, VolumePlugin } from './plugin.ts'

interface Staged {
  plugin: string
  key: string
  volume: ResolvedVolume
  /** The uids of pods. */
  users: string[]
}

export interface StagedVolumes {
  /** Stages the volume, by its plugin's key, for a pod, unless it is. Resolves with its directory. */
  acquire(plugin: VolumePlugin, volume: ResolvedVolume, key: string, pod: Pod): Promise<string>
  /** The pod needs it no more; when no other does, it is ended. Idempotent. */
  release(pluginName: string, key: string, uid: string): Promise<void>
  /** Ends what only pods used that are not there any more. */
  retain(uids: ReadonlySet<string>): Promise<void>
  /** The keys of what is staged: node.status.volumesInUse. */
  inUse(): Promise<string[]>
}

const placeBelow = (root: string, plugin: string, key: string): string =>
  join(root, plugin.replace('/', '~'), createHash('sha256').update(key).digest('hex').slice(0, 32))
const mountOf = (place: string): string => join(place, 'globalmount')
/** Where a volume is staged. */
export const stagingDirectory = (rootDir: string, plugin: string, key: string): string =>
  mountOf(placeBelow(join(rootDir, 'plugins'), plugin, key))

/** `ended` hears of each that was ended, by its key: whoever waits for that need not wait for the node's next status. */
export function stagedVolumes(rootDir: string, plugins: readonly VolumePlugin[], ended: (key: string) => void = () => {}): StagedVolumes {
  const root = join(rootDir, 'plugins')
  const placeOf = (plugin: string, key: string): string => placeBelow(root, plugin, key)
  const recordOf = (place: string): string => join(place, 'record.json')
  const underWay = new Map<string, Promise<unknown>>()

  /** One thing at a time happens to a volume. */
  function inTurn<T>(place: string, work: () => Promise<T>): Promise<T> {
    const turn = (underWay.get(place) ?? Promise.resolve()).then(work, work)
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (underWay.get(place) === settled) underWay.delete(place)
      })
    underWay.set(place, settled)
    return turn
  }
  async function end(place: string, record: Staged): Promise<void> {
    const stage = plugins.find(p => p.name === record.plugin)?.stage
    if (!stage) throw new Error(`no volume plugin to end ${record.key}: ${record.plugin}`)
    await stage.tearDown(record.volume, mountOf(place))
    // Never with what is in it: that would be data.
    await rmdir(mountOf(place)).catch((e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? undefined : Promise.reject(e)))
    // The record may just be getting its name, which makes the directory look as if something came into it.
    await rm(place, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
    ended(record.key)
  }
  async function places(): Promise<string[]> {
    // Beside those of plugins whose volumes are staged are the directories of drivers.
    const kinds = (await readdir(root).catch(() => [])).filter(kind => plugins.some(p => p.stage && p.name.replace('/', '~') === kind))
    const lists = await Promise.all(kinds.map(async kind => (await readdir(join(root, kind))).map(name => join(root, kind, name))))
    return lists.flat()
  }
  const drop = (place: string, gone: (uid: string) => boolean): Promise<void> =>
    inTurn(place, async () => {
      const record = readDurable<Staged>(recordOf(place))
      if (!record) return
      const users = record.users.filter(uid => !gone(uid))
      if (users.length === record.users.length && users.length > 0) return
      if (users.length === 0) return await end(place, record)
      writeDurable(recordOf(place), { ...record, users })
    })

  return {
    acquire(plugin, volume, key, pod) {
      const uid = uidOf(pod)
      const place = placeOf(plugin.name, key)
      return inTurn(place, async () => {
        await mkdir(mountOf(place), { recursive: true, mode: 0o750 })
        const known = readDurable<Staged>(recordOf(place))
        const users = [...new Set([...(known?.users ?? []), uid])]
        // Written first: what has begun must be ended by whoever comes next.
        if (!known?.users.includes(uid)) writeDurable(recordOf(place), { plugin: plugin.name, key, volume, users } satisfies Staged)
        await plugin.stage!.setUp(volume, mountOf(place), pod)
        return mountOf(place)
      })
    },
    release: (pluginName, key, uid) => drop(placeOf(pluginName, key), user => user === uid),
    async retain(uids) {
      for (const place of await places()) await drop(place, uid => !uids.has(uid))
    },
    async inUse() {
      return (await places()).flatMap(place => readDurable<Staged>(recordOf(place))?.key ?? [])
    },
  }
}
