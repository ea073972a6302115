/** A container's last words: its termination log, or the end of its output when it failed. */
import { Buffer } from 'node:buffer'
import { open } from 'node:fs/promises'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import { parseLine } from '../logs/cri.ts'

const maxMessage = 4096
/** All containers of a pod share this. */
const maxOfPod = 12 * 1024
const maxFallback = 2048
const maxFallbackLines = 80

/** The last bytes of a file; empty when there is none. */
async function tail(path: string, bytes: number): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (!file) return ''
  try {
    const { size } = await file.stat()
    const buffer = new Uint8Array(Math.min(size, bytes))
    await file.read(buffer, 0, buffer.length, size - buffer.length)
    return new TextDecoder().decode(buffer)
  } finally {
    await file.close()
  }
}

export async function terminationMessage(
  container: Container | EphemeralContainer,
  exitCode: number,
  termination: string,
  log: string,
): Promise<string> {
  const written = container.terminationMessagePath ? await tail(termination, maxMessage) : ''
  if (written !== '' || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || exitCode === 0) return written
  const lines = (await tail(log, maxFallback * 4)).split('\n').flatMap(line => parseLine(line) ?? [])
  const text = lines
    .slice(-maxFallbackLines)
    .map(l => l.text + (l.partial ? '' : '\n'))
    .join('')
  return text.slice(-maxFallback)
}

/** What fits of a message when as many containers as the pod has share the room that there is for them. */
export function ofPod(message: string, containers: number): string {
  const most = Math.floor(maxOfPod / Math.max(1, containers))
  return message.length * 3 <= most || Buffer.byteLength(message) <= most ? message : Buffer.from(message).subarray(0, most).toString()
}
