/** How a kubelet's session ended: the Status on its error channel. */
import { Channel, type Session } from '#shared/bus/session.ts'
import { StatusError, internalError, type Status } from '#shared/machinery/status.ts'

/** Waits for the end. A session that breaks off without a Status has failed. */
export async function endOf(session: Session): Promise<Status> {
  const pieces: Uint8Array[] = []
  for await (const piece of session.read(Channel.error)) pieces.push(piece)
  try {
    return JSON.parse(Buffer.concat(pieces).toString()) as Status
  } catch {
    return internalError(`the connection to the kubelet was lost: ${(session.signal.reason as Error | undefined)?.message ?? 'closed'}`)
      .status
  }
}

export const failureOf = (e: unknown): Status => (e instanceof StatusError ? e : internalError((e as Error)?.message ?? String(e))).status
