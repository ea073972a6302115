/**
 * Shims for containers of plain processes. One waits in advance as soon as there was one: to start a Node process takes longer than all
 * else that a container needs.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processStartTime } from '#shared/component/processes.ts'
import { closePipes, type Pipes } from '../pipes.ts'
import { startFailure } from '../runtime.ts'
import { writeEntry } from './record.ts'

const START_TIMEOUT_MS = 30_000
/** The next one is started when a container that has just been started does not need the processor any more, ms. */
const NEXT_MS = 200

/** The program lies beside us: in the source tree, or as a bundle. */
const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './shim.ts' : './process-shim.js', import.meta.url))

export interface Shims {
  /**
   * Starts the container of a directory whose `launch.json` is written; resolves when its process exists. The shim is noted in the
   * directory before it hears of it: what is not alive then never starts anything.
   */
  start(directory: string): Promise<void>
}

/** `mark` is in the environment of each; `pipes` are for the streams of their containers. */
export function openShims(mark: Readonly<Record<string, string>>, pipes: Pipes | undefined): Shims {
  let waiting: ChildProcess | undefined
  let next: NodeJS.Timeout | undefined

  /** Not waited for, alive or dead: it ends by itself when we do and it was not needed. */
  async function spawnShim(): Promise<ChildProcess> {
    const streams = (await pipes?.take()) ?? []
    let child: ChildProcess
    try {
      child = spawn(process.execPath, ['--max-semi-space-size=1', program], {
        stdio: ['pipe', 'ignore', 'ignore', 'pipe', ...streams.flatMap(({ read, write }) => [read, write])],
        detached: true,
        env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], ...mark },
      })
    } finally {
      closePipes(streams)
    }
    child.unref()
    for (const stream of [child.stdin, child.stdio[3]] as Socket[]) stream.on('error', () => {}).unref()
    child.on('error', () => {}).on('exit', () => (waiting = waiting === child ? undefined : waiting))
    return child
  }
  async function prepare(): Promise<void> {
    if (waiting) return
    const child = await spawnShim()
    // It ends when nothing is said to it.
    if (waiting) child.stdin!.destroy()
    else waiting = child
  }
  function prepareNext(): void {
    clearTimeout(next)
    // What keeps it from being made is told to who needs one.
    next = setTimeout(() => void prepare().catch(() => {}), NEXT_MS).unref()
  }

  function hear(child: ChildProcess, directory: string): Promise<void> {
    const pipe = child.stdio[3] as Socket
    pipe.ref()
    return new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`the shim did not answer within ${START_TIMEOUT_MS / 1000} s`)), START_TIMEOUT_MS)
      let text = ''
      pipe.setEncoding('utf8').on('data', (part: string) => (text += part))
      pipe.on('close', () => {
        clearTimeout(deadline)
        const { error } = (text === '' ? { error: `the shim ended: ${lastWords(directory)}` } : JSON.parse(text)) as { error?: string }
        if (error === undefined) resolve()
        else reject(new Error(startFailure(`unable to start container process: ${error}`)))
      })
      child.on('error', error => {
        clearTimeout(deadline)
        reject(new Error(`the shim cannot be started: ${error.message}`))
      })
    }).finally(() => pipe.destroy())
  }

  return {
    async start(directory) {
      // One that has just been killed is still there until we are told.
      const ready = waiting?.pid !== undefined && processStartTime(waiting.pid) !== undefined ? waiting : undefined
      waiting = undefined
      const child = ready ?? (await spawnShim())
      const answer = hear(child, directory)
      try {
        if (child.pid !== undefined) writeEntry(directory, 'shim', { pid: child.pid, startTime: processStartTime(child.pid) })
        child.stdin!.end(`${directory}\n`)
        await answer
      } catch (error) {
        child.stdin!.destroy()
        answer.catch(() => {})
        throw error
      } finally {
        prepareNext()
      }
    },
  }
}

function lastWords(directory: string): string {
  const file = join(directory, 'shim.log')
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-500) : 'no reason given'
}
