/** Running a program of the machine to its end. */
import { execFile } from 'node:child_process'

export interface Ran {
  /** It ended with code 0 in time. */
  ok: boolean
  stdout: string
  stderr: string
  /** Why it is not ok: how it ended, or that it could not be started. */
  error: string
}

/** Never rejects. Output is text; a program that takes longer than `timeoutMs` is killed. `env` comes on top of ours. */
export function run(
  command: string,
  args: readonly string[],
  options: { timeoutMs: number; input?: string; env?: Record<string, string> },
): Promise<Ran> {
  const { timeoutMs, input, env } = options
  return new Promise(resolve => {
    const child = execFile(
      command,
      args,
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...env } },
      (error, stdout, stderr) =>
        resolve({
          ok: error === null,
          stdout,
          stderr,
          error: error ? (error.killed ? `${command} took more than ${timeoutMs / 1000} s` : error.message.split('\n')[0]!) : '',
        }),
    )
    // It may end without reading.
    child.stdin?.on('error', () => {}).end(input)
  })
}
