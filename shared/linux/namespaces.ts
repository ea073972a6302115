/** Namespaces of the kernel that stay without a process: each is mounted on a file. As root on Linux. */
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { commandPath, run } from './run.ts'

/** A process that does nothing but be in namespaces, until it is let go or we end. */
export interface Holder {
  pid: number
  release(): Promise<void>
}

/** Starts a process by this command, which ends with unshare and its options. Rejects in the command's words. */
export async function holdNamespaces(command: readonly string[]): Promise<Holder> {
  const [program = '', ...args] = [...command, '--', 'sh', '-c', 'echo && exec cat']
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: commandPath } })
  const stop = AbortSignal.timeout(10_000)
  stop.onabort = () => void child.kill('SIGKILL')
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => resolve())
  })
  child.stdin.on('error', () => {})
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ready = new Promise<true>(resolve => (child.stdout as Readable).once('data', () => resolve(true)))
  if ((await Promise.race([ready, ended])) !== true) throw new Error(`${program}: ${stderr.trim() || 'it ended'}`)
  stop.onabort = null
  return {
    pid: child.pid!,
    async release() {
      child.stdin.destroy()
      await ended
    },
  }
}

/** Numbers of users and groups: 0 of the namespace is `first` outside, and so on. */
export interface IdRange {
  first: number
  size: number
}

/** Says what the users of a new user namespace are outside, once. */
export async function mapIds(pid: number, { first, size }: IdRange): Promise<void> {
  for (const file of ['uid_map', 'gid_map']) await writeFile(`/proc/${pid}/${file}`, `0 ${first} ${size}\n`)
}

/** Mounts a namespace (`user`, `ipc`, `net`) of a process on a file, which exists. */
export const pinNamespace = (pid: number, kind: string, file: string): Promise<string> =>
  run('mount', ['--bind', `/proc/${pid}/ns/${kind}`, file])
