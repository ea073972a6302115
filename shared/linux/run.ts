/** Runs a command of the system with a deadline; its own words become the error. */
import { spawn } from 'node:child_process'

export class CommandError extends Error {
  /** Exit code, or null when a signal (the deadline's among them) ended it. */
  readonly code: number | null
  readonly stderr: string
  readonly stdout: string
  constructor(message: string, code: number | null, stderr: string, stdout = '') {
    super(message)
    this.code = code
    this.stderr = stderr
    this.stdout = stdout
  }
}

/** The system's own directories come first: npm puts a dozen before them, and every command would be looked for in each. */
export const commandPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', process.env['PATH'] ?? ''].join(
  ':',
)

export interface RunOptions {
  input?: string
  /** Default 10 s. */
  timeoutMs?: number
  env?: NodeJS.ProcessEnv
  cwd?: string
}

/** Resolves with standard output. Rejects with a CommandError that quotes standard error when the command fails or misses its deadline. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input, timeoutMs = 10_000 } = options
  const env = { ...(options.env ?? process.env), PATH: commandPath }
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env,
      cwd: options.cwd,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', error => reject(new CommandError(`${command}: ${error.message}`, null, stderr)))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(stdout)
      const why =
        stderr.trim() || (signal ? `killed by ${signal}${signal === 'SIGKILL' ? ` (deadline ${timeoutMs} ms)` : ''}` : `exit code ${code}`)
      reject(new CommandError(`${command} ${args.slice(0, 3).join(' ')}: ${why}`, code, stderr, stdout))
    })
    // A command that ends without reading its input must not end us.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}
