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
/** Where the last words are looked for, bytes: an entry of the log, which is as long as what was written at once, has to be there whole. */
const searched = 256 * 1024

/** The last bytes of a file; empty when there is none. */
async function tail(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path).catch(() => undefined)
  if (!file) return Buffer.alloc(0)
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.min(size, bytes))
    await file.read(buffer, 0, buffer.length, size - buffer.length)
    return buffer
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
  const written = container.terminationMessagePath ? (await tail(termination, maxMessage)).toString() : ''
  if (written !== '' || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || exitCode === 0) return written
  const entries = (await tail(log, searched)).toString('latin1').split('\n')
  const text = entries
    .flatMap(entry => parseLine(entry) ?? [])
    .slice(-maxFallbackLines)
    .map(l => l.text + (l.partial ? '' : '\n'))
    .join('')
  return Buffer.from(text, 'latin1').subarray(-maxFallback).toString()
}

/** What fits of a message when as many containers as the pod has share the room that there is for them. */
export function ofPod(message: string, containers: number): string {
  const most = Math.floor(maxOfPod / Math.max(1, containers))
  return message.length * 3 <= most || Buffer.byteLength(message) <= most ? message : Buffer.from(message).subarray(0, most).toString()
}
