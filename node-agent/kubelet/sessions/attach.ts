/** attach: the streams of a container's first process. Output comes from its log, from now on; input goes to its shim. */
import { stat } from 'node:fs/promises'
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { KubeletContext } from '../context.ts'
import type { Kubelet } from '../kubelet.ts'
import { readLog } from '../logs/read.ts'
import { containerDirectory, logFile } from '../pod/directory.ts'
import { terminalSizes } from './exec.ts'
import { success } from './result.ts'
import { containerTarget, findTarget, readOpen, runningAttempt } from './target.ts'

const flag = z.boolean().optional()
const schema = z.object({ ...containerTarget, stdin: flag, stdout: flag, stderr: flag, tty: flag })

export async function attach(
  kubelet: Kubelet,
  { runtime, log }: Pick<KubeletContext, 'runtime' | 'log'>,
  session: Session,
): Promise<Status> {
  const open = readOpen(schema, session.open)
  const target = findTarget(kubelet, open)
  const { container } = target.typed
  const attempt = runningAttempt(target)
  const directory = containerDirectory(target.worker.directory, container.name, attempt.attempt)
  const quietly = (what: Promise<void>): void =>
    void what.catch(
      (e: Error) => session.signal.aborted || log.warn({ container: container.name, err: e.message }, 'attach: a stream failed'),
    )
  // Once the client's input has ended, only a container whose own input ends with it is worth listening to.
  const inputEnds = container.stdinOnce === true && !container.tty
  let over: Promise<unknown> = new Promise(() => {})
  if (open.stdin) {
    const input = runtime.writeStdin(directory, session.read(Channel.stdin))
    quietly(input)
    if (!inputEnds) over = input
  }
  if (open.tty) quietly(sizes(session, size => runtime.resizeTerminal(directory, size)))
  const path = logFile(target.worker.directory, container.name, attempt.attempt)
  // The log exists as long as the container runs.
  await stat(path)
  const ended = target.worker.live(container.name).exited ?? Promise.resolve()
  await readLog(
    { path, ended: Promise.race([ended, over.catch(() => ended)]) },
    { follow: true, tailLines: 0 },
    (stream, data) => (open[stream] === false ? Promise.resolve() : session.send(Channel[stream], data)),
    session.signal,
  )
  return success
}

async function sizes(session: Session, resize: (size: { Width: number; Height: number }) => Promise<void>): Promise<void> {
  for await (const size of terminalSizes(session)) await resize(size)
}
