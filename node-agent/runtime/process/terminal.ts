/** A terminal for a command, made by `script`, which copies what goes through it between the terminal and its own standard streams. */
import { findBinary } from '../binaries.ts'

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * The command line that runs `args` in a terminal whose path it writes to `file` (relative to the working directory of the command, or
 * absolute).
 */
export function terminalCommand(args: readonly string[], file: string): string[] {
  const script = findBinary('script')
  if (script === undefined) throw new Error('a terminal needs the program script on the node (Debian package bsdutils)')
  const inner = `tty >${quote(file)}; exec ${args.map(quote).join(' ')}`
  // BSD's takes a command line, util-linux' a text for the shell.
  return process.platform === 'linux'
    ? [script, '-q', '-e', '-f', '-c', inner, '/dev/null']
    : [script, '-q', '/dev/null', '/bin/sh', '-c', inner]
}
