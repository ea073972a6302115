/** Keeps one control-plane process running: starts or adopts it, restarts it with back-off when it dies, stops it when told. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hopelessExitCode } from '#shared/component/lifecycle.ts'
import { untilUnresponsive, type LivenessProbe } from './liveness.ts'
import { forgetProcess, isAlive, kill, readRecord, terminate, untilGone, writeRecord, type ProcessRecord } from './process.ts'
import { raiseControlPlane } from './priority.ts'
import type { StateDir } from './state.ts'
import { which } from './system.ts'

export interface Component {
  name: string
  command: string
  args: string[]
  env?: Record<string, string>
  /** Resolves once the process serves; without it the process says so itself over IPC. */
  probe?: (signal: AbortSignal, pid: number) => Promise<void>
  /** Asked from time to time once the process serves; one that does not answer any more is killed. */
  liveness?: LivenessProbe
  /** Where the system can do that, the process does not outlive its supervisor. */
  diesWithSupervisor?: true
}

export interface SupervisorEvents {
  ready(name: string, ms: number): void
  died(name: string, how: string, restartInMs: number): void
}

const firstBackoffMs = 100
const maxBackoffMs = 5000
/** A process that ended so often before it ever served does not serve the next time either; it takes half a minute to find out. */
const hopelessAfter = 10
const exited = (code: number | null): string => `exited with code ${code}`
/** How one ends that says itself that another try is in vain. */
const hopeless = exited(hopelessExitCode)
/** A process that ran this long starts with a fresh back-off, ms. */
const healthyAfterMs = 10_000

/** The last line of a log, for a message; empty when there is none. */
export function lastLine(file: string): string {
  const end = Buffer.alloc(4096)
  try {
    const log = openSync(file, 'r')
    try {
      const length = readSync(log, end, 0, end.length, Math.max(0, fstatSync(log).size - end.length))
      return end.toString('utf8', 0, length).trimEnd().split('\n').at(-1)?.slice(0, 500) ?? ''
    } finally {
      closeSync(log)
    }
  } catch {
    return ''
  }
}

/** Program and arguments. The kernel kills the process when its parent ends, however it does. */
function commandOf({ command, args, diesWithSupervisor }: Component): [string, string[]] {
  const setpriv = diesWithSupervisor && process.platform === 'linux' ? which('setpriv') : undefined
  return setpriv === undefined ? [command, args] : [setpriv, ['--pdeathsig', 'KILL', command, ...args]]
}

export class Supervisor {
  readonly #dir: StateDir
  readonly name: string
  readonly #component: () => Component
  readonly #events: SupervisorEvents
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  /** Who it is, also when the record is gone with its directory. */
  #process: ProcessRecord | undefined
  readonly #firstReady = Promise.withResolvers<void>()

  /** `component` is asked at each start of the process; its name stays. */
  constructor(dir: StateDir, component: () => Component, events: SupervisorEvents) {
    this.#dir = dir
    this.#component = component
    this.name = component().name
    this.#events = events
    this.#firstReady.promise.catch(() => {})
  }

  /**
   * Starts the loop; resolves when the process served for the first time. Rejects, with the last line of its log, when it ends again and
   * again before that, or once in a way that is no use to try again; the loop goes on until `stop`.
   */
  start(): Promise<void> {
    this.#loop ??= this.#run()
    return this.#firstReady.promise
  }

  async stop(graceMs = 5000): Promise<void> {
    this.#stop.abort()
    this.#firstReady.reject(new Error(`${this.name} was stopped`))
    const process = this.#process ?? readRecord(this.#dir, this.name)
    await terminate(process, graceMs)
    await this.#loop
    const last = this.#process ?? process
    if (last) forgetProcess(this.#dir, this.name, last)
  }

  async #run(): Promise<void> {
    const { name } = this
    let ends = 0
    for (let backoff = firstBackoffMs; !this.#stop.signal.aborted;) {
      const began = performance.now()
      const how = await this.#once(() => {
        this.#firstReady.resolve()
        this.#events.ready(name, performance.now() - began)
        // A disk that is full, for one, keeps a process from being started and not us from trying.
      }).catch((e: Error) => e.message)
      if (this.#stop.signal.aborted) return
      if (performance.now() - began > healthyAfterMs) backoff = firstBackoffMs
      this.#events.died(name, how, backoff)
      if (++ends === hopelessAfter || how === hopeless) {
        const said = lastLine(path.join(this.#dir.logs, `${name}.log`))
        this.#firstReady.reject(
          new Error(`${name} does not start (${how}, ${ends === 1 ? 'once' : `${ends} times`})${said && `: ${said}`}`),
        )
      }
      await delay(backoff, undefined, { signal: this.#stop.signal }).catch(() => {})
      backoff = Math.min(backoff * 2, maxBackoffMs)
    }
  }

  /** Notes who it is. Without that it must not run: nobody could adopt or stop it. */
  #record(child: ChildProcess): ProcessRecord {
    try {
      return writeRecord(this.#dir, this.name, child.pid!)
    } catch (e) {
      child.kill('SIGKILL')
      throw e
    }
  }

  /** One life of the process; resolves with how it ended. */
  async #once(ready: () => void): Promise<string> {
    const component = this.#component()
    const { name, env, probe, liveness } = component
    const [command, args] = commandOf(component)
    const life = new AbortController()
    let unresponsive = false
    const serves = (process: ProcessRecord): void => {
      ready()
      if (!liveness) return
      void untilUnresponsive(liveness, AbortSignal.any([life.signal, this.#stop.signal])).then(hangs => {
        unresponsive = hangs && kill(process, 'SIGKILL')
      })
    }
    const former = readRecord(this.#dir, name)
    if (isAlive(former)) {
      this.#process = former
      serves(former)
      await untilGone(former, Infinity, this.#stop.signal)
      life.abort()
      return unresponsive ? 'did not answer and was killed' : 'gone'
    }
    const log = openSync(path.join(this.#dir.logs, `${name}.log`), 'a', 0o600)
    // A session of its own: the terminal's Ctrl-C is for the supervisor alone, and the process survives the supervisor.
    const child = spawn(command, args, {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      cwd: this.#dir.root,
      env: { ...process.env, ...env },
    })
    closeSync(log)
    const ended = Promise.withResolvers<string>()
    child.once('error', e => ended.resolve(e.message))
    child.once('exit', (code, signal) => ended.resolve(signal ? `killed by ${signal}` : exited(code)))
    if (child.pid !== undefined) {
      raiseControlPlane(child.pid)
      const record = (this.#process = this.#record(child))
      if (this.#stop.signal.aborted) kill(record, 'SIGTERM')
      if (probe)
        void probe(life.signal, child.pid).then(
          () => serves(record),
          () => {},
        )
      else child.on('message', message => message === 'ready' && serves(record))
    }
    const how = await ended.promise
    life.abort()
    return unresponsive ? 'did not answer and was killed' : how
  }
}
