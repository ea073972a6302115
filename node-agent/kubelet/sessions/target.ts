/** Finds what a session is about; refusals are worded as the kubelet words them. */
import * as z from 'zod'
import { StatusError, badRequest } from '#shared/machinery/status.ts'
import type { Kubelet } from '../kubelet.ts'
import { findContainer, type TypedContainer } from '../pod/containers.ts'
import { isStatic } from '../pod/critical.ts'
import type { Attempt } from '../pod/state.ts'
import type { PodWorker } from '../pod/worker.ts'

/** What every session says about its pod. */
export const podTarget = { namespace: z.string(), name: z.string(), uid: z.string().optional() }
export const containerTarget = { ...podTarget, container: z.string().optional() }

/** Reads what the opener asked for. Throws 400. */
export function readOpen<S extends z.ZodType>(schema: S, open: unknown): z.output<S> {
  const parsed = schema.safeParse(open)
  if (parsed.success) return parsed.data
  throw badRequest(parsed.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; '))
}

export function findPod(
  kubelet: Kubelet,
  { namespace, name, uid }: { namespace: string; name: string; uid?: string | undefined },
): PodWorker {
  const named = kubelet.find(namespace, name)
  // The API knows a static pod by the uid of its mirror.
  const worker = uid && !(named && isStatic(named.pod)) ? kubelet.worker(uid) : named
  if (!worker || worker.stage === 'removed') throw new StatusError(404, 'NotFound', `pod "${name}" not found`)
  return worker
}

export interface ContainerTarget {
  worker: PodWorker
  typed: TypedContainer
}
export function findTarget(
  kubelet: Kubelet,
  open: { namespace: string; name: string; uid?: string | undefined; container?: string | undefined },
): ContainerTarget {
  const worker = findPod(kubelet, open)
  const name = open.container || worker.pod.spec.containers[0]?.name || ''
  const typed = findContainer(worker.pod, name)
  if (!typed) throw badRequest(`container ${name} is not valid for pod ${open.name}`)
  return { worker, typed }
}

/** The run of a container that is going on. Throws when there is none. */
export function runningAttempt({ worker, typed }: ContainerTarget): Attempt {
  const { name } = typed.container
  const current = worker.state.containers[name]?.current
  if (current?.state === 'running') return current
  throw new StatusError(500, 'InternalError', `container not found ("${name}")`)
}
