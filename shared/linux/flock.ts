/**
 * Locks between processes of one machine, in whatever namespaces they are: flock(2), by util-linux's flock. Node has none of its own. A
 * lock dies with whoever holds it.
 */
import { spawn } from 'node:child_process'
import { commandPath } from './run.ts'

export interface FileLock {
  /** Resolves when the lock is free again. Idempotent. */
  release(): Promise<void>
}

export interface LockOptions {
  shared?: boolean
  signal?: AbortSignal | undefined
}

/**
 * Waits for the lock of `file`, which is made when it is not there. Rejects with the signal's reason, or when there is no flock.
 */
export const lockFile = async (file: string, options: LockOptions = {}): Promise<FileLock> => (await take(file, options, false))!

/** As lockFile, but undefined at once when somebody holds it. */
export const tryLockFile = (file: string, options: LockOptions = {}): Promise<FileLock | undefined> => take(file, options, true)

const CONFLICT = 99

/** A child holds the lock as long as its standard input, our pipe, is open: the kernel closes that however we end. */
async function take(file: string, { shared = false, signal }: LockOptions, atOnce: boolean): Promise<FileLock | undefined> {
  signal?.throwIfAborted()
  const child = spawn(
    'flock',
    [
      ...[shared ? '-s' : '-x', ...(atOnce ? ['-n', '-E', String(CONFLICT)] : [])],
      // The shell takes the place of flock, and cat that of the shell: one process.
      ...['--no-fork', file, 'sh', '-c', 'echo && exec cat >/dev/null'],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: commandPath } },
  )
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  ended.catch(() => {})
  child.stdin.on('error', () => {})
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const held = new Promise<true>(resolve => child.stdout.once('data', () => resolve(true)))
  const abort = (): void => void child.kill('SIGKILL')
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const result = await Promise.race([held, ended])
    if (result === true) {
      // A process that has nothing else to do may end, and the lock with it.
      child.unref()
      for (const stream of [child.stdin, child.stdout, child.stderr] as unknown as { unref(): void }[]) stream.unref()
      return {
        release: async () => {
          child.ref()
          child.stdin.destroy()
          await ended
        },
      }
    }
    signal?.throwIfAborted()
    if (result === CONFLICT) return undefined
    throw new Error(`cannot lock ${file}: ${stderr.trim() || `flock ended with ${result}`}`)
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
