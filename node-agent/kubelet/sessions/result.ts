/** How a session ends: a metav1.Status on the error channel, as CRI's streaming server sends it. */
import { Buffer } from 'node:buffer'
import { Channel, type Session } from '#shared/bus/session.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'

export const success: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 200 }

/** A command that ended with something other than 0. */
export const nonZeroExit = (code: number): Status => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message: `command terminated with non-zero exit code: command terminated with exit code ${code}`,
  reason: 'NonZeroExitCode',
  details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  code: 500,
})

export const failure = (e: unknown): Status =>
  e instanceof StatusError ? e.status : new StatusError(500, 'InternalError', `Internal error occurred: ${(e as Error).message}`).status

/** Sends the end and closes the other channels, in that order. */
export async function finish(session: Session, status: Status): Promise<void> {
  if (session.signal.aborted) return
  session.end(Channel.stdout)
  session.end(Channel.stderr)
  await session.send(Channel.error, Buffer.from(JSON.stringify(status))).catch(() => {})
  session.end(Channel.error)
}

/** A session that is served and ended with what came of it. */
export const ended =
  (run: (session: Session) => Promise<Status>) =>
  async (session: Session): Promise<void> => {
    const status = await run(session).catch((e: unknown) => failure(e))
    await finish(session, status)
  }
