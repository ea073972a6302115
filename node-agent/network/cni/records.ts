/**
 * What was asked of CNI plugins for each pod, one file a pod: written before they are asked, so that whoever comes after a crash can take
 * it back; and kept over a reboot, as plugins keep addresses.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { readDurable, removeDurable, writeDurable } from '../../kubelet/pod/durable.ts'
import type { NetworkConfig } from './config.ts'
import { addNetwork, deleteNetwork, type Place } from './plugin.ts'
import type { CniResult } from './result.ts'

/** A network that a pod is to have. */
export interface Wanted {
  network: NetworkConfig
  place: Place
  /** What the network is called in the pod's status; absent: by its own name. */
  of?: string
}
export interface Attachment extends Wanted {
  /** Absent until the last plugin has answered. */
  result?: CniResult
}
interface PodRecord {
  netns: string
  attachments: Attachment[]
  /** Nothing is missing. */
  whole?: true
}

export interface PodRecords {
  uids(): string[]
  /** What a pod is in, as far as plugins have answered. */
  attachments(uid: string): Attachment[]
  /**
   * Adds the pod to networks, unless it is in some already; what an attempt left that was not finished is taken back first. Rejects in a
   * plugin's words, having taken back what it can.
   */
  attach(uid: string, netns: string, wanted: () => Promise<Wanted[]>): Promise<Attachment[]>
  /** Takes the pod out of all of its networks, the last first, and forgets it. Rejects when a plugin fails; what was left is known then. */
  detach(uid: string): Promise<void>
}

/** `directories` are those of the plugins. */
export function podRecords(root: string, directories: readonly string[], log: Logger): PodRecords {
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const fileOf = (uid: string): string => join(root, `${uid}.json`)
  const read = (uid: string): PodRecord | undefined => readDurable<PodRecord>(fileOf(uid))
  const write = (uid: string, record: PodRecord): void => writeDurable(fileOf(uid), record)

  async function detach(uid: string): Promise<void> {
    const record = read(uid)
    while (record?.attachments.length) {
      const { network, place, result } = record.attachments.at(-1)!
      // As the specification has it where the namespace is gone.
      const now = { ...place, netns: existsSync(place.netns) ? place.netns : '' }
      // What was never whole may be such that nobody can take it back, as where there is no such plugin.
      await deleteNetwork(network, now, directories, result).catch((e: Error) => {
        if (result) throw e
        log.warn({ pod: uid, network: network.name, err: e.message }, 'what was left of a failed attempt is not taken back')
      })
      record.attachments.pop()
      delete record.whole
      write(uid, record)
    }
    removeDurable(fileOf(uid))
  }

  async function add(uid: string, record: PodRecord, wanted: readonly Wanted[]): Promise<void> {
    for (const one of wanted) {
      const attachment: Attachment = { ...one }
      record.attachments.push(attachment)
      write(uid, record)
      attachment.result = await addNetwork(one.network, one.place, directories)
    }
    record.whole = true
    write(uid, record)
  }

  return {
    uids: () => [...new Set(readdirSync(root).flatMap(file => /^(.+)\.json(?:\.new)?$/.exec(file)?.[1] ?? []))],
    attachments: uid => read(uid)?.attachments ?? [],
    async attach(uid, netns, wanted) {
      const had = read(uid)
      if (had?.whole && had.netns === netns && existsSync(netns)) return had.attachments
      await detach(uid)
      const record: PodRecord = { netns, attachments: [] }
      try {
        await add(uid, record, await wanted())
      } catch (e) {
        await detach(uid).catch((later: Error) => log.warn({ pod: uid, err: later.message }, 'networks of a pod are not taken back yet'))
        throw e
      }
      return record.attachments
    },
    detach,
  }
}
