/**
 * More networks for pods that ask for them, beside that of the node: what Multus does, for every network in which pods have namespaces of
 * their own.
 */
import { basename } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { ipBatch } from '#shared/linux/ip.ts'
import { argsOf } from '../cni/cni.ts'
import { podRecords, type Attachment, type Wanted } from '../cni/records.ts'
import type { PodNetwork, PodToConnect } from '../network.ts'
import { turns } from '../turns.ts'
import type { FindDefinition } from './definitions.ts'
import { networksAnnotation, parseNetworks, type Selection } from './selection.ts'
import { networkStatus, statusAnnotation } from './status.ts'

export interface AttachmentsOptions {
  /** Where it is written down who has what. */
  directory: string
  /** Of the plugins. */
  programs: readonly string[]
  /** Called before the first plugin is. */
  prepare: () => Promise<void>
  find: FindDefinition
  /** Sets an annotation of the pod in the API. */
  annotate: (pod: { namespace: string; name: string; uid: string }, annotations: Record<string, string>) => Promise<void>
  log: Logger
}

export function withAttachments(network: PodNetwork, options: AttachmentsOptions): PodNetwork {
  const { find, annotate, log } = options
  const records = podRecords(options.directory, options.programs, log)
  const inTurn = turns()
  const tearDown = async (uid: string): Promise<void> => {
    await records.detach(uid)
    await network.tearDown(uid)
  }
  const wanted = async (pod: PodToConnect, asked: string, netns: string): Promise<Wanted[]> => {
    const selections = selectionsOf(asked, pod.namespace)
    if (selections.length > 0) await options.prepare()
    return Promise.all(
      selections.map(async ({ namespace, name, ifname, capabilities, cniArgs, defaultRoute }) => ({
        of: `${namespace}/${name}`,
        network: await find({ namespace, name }),
        place: { containerId: pod.uid, netns, ifname, args: argsOf(pod), capabilities, cniArgs, defaultRoute },
      })),
    )
  }
  return {
    ...network,
    setUp: pod =>
      inTurn(pod.uid, async () => {
        const made = await network.setUp(pod)
        const { [networksAnnotation]: asked, [statusAnnotation]: told } = pod.annotations ?? {}
        if (asked === undefined) return made
        // What a pod began with is what it has, whatever its annotation says later.
        const netns = made.namespacePath
        const attachments = await records.attach(pod.uid, netns, () => wanted(pod, asked, netns))
        await setDefaultRoutes(netns, attachments)
        const status = await networkStatus(network.name, netns, attachments)
        if (status !== told)
          await annotate(pod, { [statusAnnotation]: status }).catch((e: Error) =>
            log.warn({ pod: `${pod.namespace}/${pod.name}`, err: e.message }, 'the status of its networks is not told'),
          )
        return made
      }),
    tearDown: uid => inTurn(uid, () => tearDown(uid)),
    async retain(uids) {
      await Promise.all(
        records
          .uids()
          .filter(uid => !uids.has(uid))
          .map(uid => inTurn(uid, () => tearDown(uid))),
      )
      await network.retain(uids)
    },
  }
}

/** As Multus does it: the former default route of the family goes. Idempotent. */
async function setDefaultRoutes(netns: string, attachments: readonly Attachment[]): Promise<void> {
  const namespace = basename(netns)
  for (const { place } of attachments)
    for (const gateway of place.defaultRoute ?? []) {
      const family = gateway.includes(':') ? '-6 ' : ''
      // Where there was none, that is all right.
      await ipBatch([`${family}route flush default`], { namespace, force: true }).catch(() => {})
      await ipBatch([`${family}route replace default via ${gateway} dev ${place.ifname}`], { namespace })
    }
}

function selectionsOf(text: string, namespace: string): Selection[] {
  try {
    return parseNetworks(text, namespace)
  } catch (e) {
    throw new Error(`annotation ${networksAnnotation}: ${(e as Error).message}`)
  }
}
