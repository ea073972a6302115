/** How the API server reaches the kubelet of a pod: which node, which container, and a session to it. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Session } from '#shared/bus/session.ts'
import { openSession } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { StatusError, badRequest, internalError } from '#shared/machinery/status.ts'
import type { Call } from '../verbs/context.ts'
import { find } from '../verbs/get.ts'

export type NodeVerb = 'logs' | 'exec' | 'attach' | 'portforward'

/** The pod of the path; it must be on a node. Throws 400, 404. */
export async function podOf(call: Call): Promise<Pod> {
  return (await find(call)).object as unknown as Pod
}

/** The container that is meant: the one that is named, the only one, or the annotated default. Throws 400 as upstream words it. */
export function containerOf(pod: Pod, given: string): string {
  const { spec, metadata } = pod
  const init = spec.initContainers ?? []
  const ephemeral = spec.ephemeralContainers ?? []
  const all = [...init, ...spec.containers, ...ephemeral]
  if (given !== '') {
    if (!all.some(c => c.name === given)) throw badRequest(`container ${given} is not valid for pod ${metadata.name}`)
    return given
  }
  const [only] = spec.containers
  if (spec.containers.length === 1 && only) return only.name
  const names = (list: readonly { name: string }[]): string => `[${list.map(c => c.name).join(' ')}]`
  let text = `a container name must be specified for pod ${metadata.name}, choose one of: ${names(spec.containers)}`
  if (init.length > 0) text += ` or one of the init containers: ${names(init)}`
  if (ephemeral.length > 0) text += ` or one of the ephemeral containers: ${names(ephemeral)}`
  throw badRequest(text)
}

/** Opens a session to the kubelet. Throws 500 as upstream does when a kubelet cannot be reached. */
export async function toKubelet(bus: BusConnection, pod: Pod, verb: NodeVerb, open: object, signal: AbortSignal): Promise<Session> {
  const node = pod.spec.nodeName ?? ''
  try {
    return await openSession(bus, nodeSubject(`system:node:${node}`, verb), open, { signal })
  } catch (e) {
    if (e instanceof StatusError) throw e
    throw internalError(`error dialing the kubelet of node ${node}: ${(e as Error).message}`)
  }
}
