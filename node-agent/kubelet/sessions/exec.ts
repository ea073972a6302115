/** exec: a command in a container, with the client's streams. */
import { randomBytes } from 'node:crypto'
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import { ExecFailedError } from '../../runtime/runtime.ts'
import type { KubeletContext } from '../context.ts'
import type { Kubelet } from '../kubelet.ts'
import { containerDirectory } from '../pod/directory.ts'
import { nonZeroExit, success } from './result.ts'
import { containerTarget, findTarget, readOpen, runningAttempt } from './target.ts'
import type { Status } from '#shared/machinery/status.ts'

const flag = z.boolean().optional()
const schema = z.object({ ...containerTarget, command: z.array(z.string()).min(1), stdin: flag, stdout: flag, stderr: flag, tty: flag })

/** Terminal sizes as kubectl sends them, one JSON object a message. */
export async function* terminalSizes(session: Session): AsyncGenerator<{ Width: number; Height: number }> {
  const size = z.object({ Width: z.number().int().positive().max(65_535), Height: z.number().int().positive().max(65_535) })
  for await (const data of session.read(Channel.resize)) {
    for (const line of Buffer.from(data)
      .toString()
      .split(/(?<=\})/)) {
      try {
        const parsed = size.safeParse(JSON.parse(line))
        if (parsed.success) yield parsed.data
      } catch {
        // Not a size: the terminal stays as it is.
      }
    }
  }
}

export async function exec(kubelet: Kubelet, { runtime }: Pick<KubeletContext, 'runtime'>, session: Session): Promise<Status> {
  const open = readOpen(schema, session.open)
  const target = findTarget(kubelet, open)
  const attempt = runningAttempt(target)
  const tty = open.tty ?? false
  // A client that went away is told by the session's signal.
  const send = (channel: number, wanted: boolean | undefined) => async (data: Uint8Array) => {
    if (wanted !== false) await session.send(channel, data).catch(() => {})
  }
  const directory = containerDirectory(target.worker.directory, target.typed.container.name, attempt.attempt)
  const options = {
    args: open.command,
    tty,
    ...(open.stdin ? { stdin: session.read(Channel.stdin) } : {}),
    stdout: send(Channel.stdout, open.stdout),
    stderr: send(Channel.stderr, open.stderr),
    ...(tty ? { resize: terminalSizes(session) } : {}),
    signal: session.signal,
  }
  const code = await runtime.exec(directory, options).catch((e: unknown) => {
    throw e instanceof ExecFailedError ? new Error(`error executing command in container: ${notStarted(e)}`) : e
  })
  return code === 0 ? success : nonZeroExit(code)
}

/** As containerd has it, whose streams end with an error, not with an exit code, when there was no command. */
const notStarted = ({ message }: ExecFailedError): string =>
  `failed to exec in container: failed to start exec "${randomBytes(32).toString('hex')}": OCI runtime exec failed: ${message}: unknown`
