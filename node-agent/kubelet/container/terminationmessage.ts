/** A container's last words: its termination log, or the end of its output when it failed. */
import { open } from 'node:fs/promises'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import { parseLine } from '../logs/cri.ts'

const maxMessage = 4096
const maxFallback = 2048
const maxFallbackLines = 80

/** The first (or last) bytes of a file; empty when there is none. */
async function part(path: string, bytes: number, end: boolean): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (!file) return ''
  try {
    const { size } = await file.stat()
    const buffer = new Uint8Array(Math.min(size, bytes))
    await file.read(buffer, 0, buffer.length, end ? size - buffer.length : 0)
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
  const written = container.terminationMessagePath ? await part(termination, maxMessage, false) : ''
  if (written !== '' || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || exitCode === 0) return written
  const lines = (await part(log, maxFallback * 4, true)).split('\n').flatMap(line => parseLine(line) ?? [])
  const text = lines
    .slice(-maxFallbackLines)
    .map(l => l.text + (l.partial ? '' : '\n'))
    .join('')
  return text.slice(-maxFallback)
}
