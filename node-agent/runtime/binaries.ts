/** Where the node's programs are. */
import { accessSync, constants, statSync } from 'node:fs'
import { join } from 'node:path'

const USUAL = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** The path of an executable file in these directories, or undefined. */
export function findBinary(
  name: string,
  directories: readonly string[] = [...(process.env['PATH'] ?? '').split(':').filter(Boolean), ...USUAL],
): string | undefined {
  return directories.map(directory => join(directory, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The directories that a container's PATH names. */
export const containerPath: readonly string[] = USUAL
