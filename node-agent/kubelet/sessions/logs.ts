/** logs: a container's output from its files, of this run or the one before. */
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import { badRequest, type Status } from '#shared/machinery/status.ts'
import type { Kubelet } from '../kubelet.ts'
import { readLog } from '../logs/read.ts'
import { logFile } from '../pod/directory.ts'
import { podText } from '../pod/containers.ts'
import { isTerminal } from '../pod/phase.ts'
import { success } from './result.ts'
import { containerTarget, findTarget, readOpen, type ContainerTarget } from './target.ts'

const flag = z.boolean().optional()
const count = z.number().int().nonnegative().optional()
const schema = z.object({
  ...containerTarget,
  follow: flag,
  previous: flag,
  timestamps: flag,
  tailLines: count,
  limitBytes: count,
  sinceSeconds: count,
  sinceTime: z.string().optional(),
  stream: z.enum(['All', 'Stdout', 'Stderr']).optional(),
})

const imageReasons: { [reason: string]: string } = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: 'trying and failing to pull image',
}

/** Which run's log is meant. Throws 400 with upstream's words when there is none. */
function attemptOf({ worker, typed }: ContainerTarget, previous: boolean): { attempt: number; ended: Promise<unknown> } {
  const { name } = typed.container
  const record = worker.state.containers[name]
  const where = `container "${name}" in pod "${worker.pod.metadata.name}"`
  if (previous) {
    // Between two runs the one that ended last is the previous one.
    const run = record?.current.state === 'exited' && worker.live(name).waiting ? record.current : record?.previous
    if (!run) throw badRequest(`previous terminated ${where} not found`)
    return { attempt: run.attempt, ended: Promise.resolve() }
  }
  // A pod that was refused has no containers; of one that ended before they began nothing is to come either.
  if (!record && (worker.state.ended || isTerminal(worker.pod.status?.phase)))
    throw badRequest(`${where} is ${worker.state.admitted ? 'terminated' : 'not available'}`)
  if (!record || (record.current.state === 'starting' && !record.previous)) {
    const { waiting } = worker.live(name)
    throw badRequest(
      `${where} is waiting to start: ${imageReasons[waiting?.reason ?? ''] ?? waiting?.reason ?? ((worker.pod.spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating')}`,
    )
  }
  const run = record.current.state === 'starting' ? record.previous! : record.current
  return { attempt: run.attempt, ended: run.state === 'running' ? (worker.live(name).exited ?? Promise.resolve()) : Promise.resolve() }
}

export async function logs(kubelet: Kubelet, session: Session): Promise<Status> {
  await containerLog(kubelet, session.open, data => session.send(Channel.stdout, data), session.signal)
  return success
}

/** Writes the log that is asked for, in the form that a session names it, until it has ended or `signal` aborts. Throws 400, 404. */
export async function containerLog(
  kubelet: Kubelet,
  asked: unknown,
  write: (data: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const open = readOpen(schema, asked)
  const target = findTarget(kubelet, open)
  const { attempt, ended } = attemptOf(target, open.previous ?? false)
  const since =
    open.sinceTime !== undefined
      ? new Date(open.sinceTime)
      : open.sinceSeconds !== undefined
        ? new Date(Date.now() - open.sinceSeconds * 1000)
        : undefined
  if (since && Number.isNaN(since.getTime())) throw badRequest(`invalid sinceTime ${open.sinceTime} of pod ${podText(target.worker.pod)}`)
  const options = {
    follow: open.follow ?? false,
    timestamps: open.timestamps ?? false,
    // kubectl has one stream for both.
    merged: true,
    ...(open.stream === undefined || open.stream === 'All'
      ? {}
      : { stream: open.stream === 'Stdout' ? ('stdout' as const) : ('stderr' as const) }),
    ...(open.tailLines === undefined ? {} : { tailLines: open.tailLines }),
    ...(open.limitBytes === undefined ? {} : { limitBytes: open.limitBytes }),
    ...(since ? { since } : {}),
  }
  const path = logFile(target.worker.directory, target.typed.container.name, attempt)
  await readLog({ path, ended }, options, (_, data) => write(data), signal)
}
