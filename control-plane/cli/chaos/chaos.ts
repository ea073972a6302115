/**
 * `cox chaos`: breaks one thing after the other in a cluster that runs, waits until it has recovered, and holds what was seen against the
 * promises.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { namespaces } from '#shared/api/kinds.ts'
import { adminClient } from '../api.ts'
import { isAlive, readRecord, supervisorProcess } from '../process.ts'
import { requireCluster, type StateDir } from '../state.ts'
import { actions, type Action, type Stage } from './actions.ts'
import type { ActionKind, Violation } from './history.ts'
import { missing, unwhole } from './invariants/convergence.ts'
import { judge } from './judge.ts'
import { chaosNamespace } from './observe.ts'
import { containerProcesses } from './processes.ts'
import { Recorder } from './recorder.ts'
import { report, round, shown, type ActionReport, type Report } from './report.ts'
import { sequence, type Step } from './sequence.ts'
import { ownerOf } from './world.ts'
import { makeNamespace, write } from './writer.ts'

export interface ChaosOptions {
  durationMs: number
  intervalMs: number
  seed: number
  only: readonly ActionKind[]
}

/** How long a recovery may take, and the cluster at the end. */
const recoveryMs = 90_000
/** How often the process table is looked at, ms. */
const processesEveryMs = 2000

/**
 * Runs until the time is up or `signal` aborts, and heals what it broke. `say` gets pieces of lines as things happen. Rejects when the
 * cluster is not up or does not answer at the start.
 */
export async function chaos(dir: StateDir, options: ChaosOptions, signal: AbortSignal, say: (piece: string) => void): Promise<Report> {
  requireCluster(dir)
  if (!isAlive(readRecord(dir, supervisorProcess))) throw new Error(`the cluster in ${dir.root} is not up; \`cox up\` starts it`)
  const { client, close } = adminClient(dir)
  const over = new AbortController()
  const noMoreWrites = new AbortController()
  const recorder = new Recorder(client, over.signal)
  const done: ActionReport[] = []
  const reported = new Set<string>()
  const look = (): void =>
    recorder.record({ type: 'processes', processes: containerProcesses(dir, requireCluster(dir), id => ownerOf(recorder.world, id)) })
  const tell = (): Violation[] => {
    const violations = judge(recorder.history)
    for (const v of violations) {
      if (reported.has(v.message)) continue
      reported.add(v.message)
      say(`          VIOLATION  ${v.invariant}: ${v.message}\n`)
    }
    return violations
  }
  let looking: NodeJS.Timeout | undefined
  try {
    await makeNamespace(client)
    say(`seed ${options.seed}; Ctrl-C ends it and heals what is broken\n`)
    await recorder.start()
    look()
    recorder.record({ type: 'start' })
    const excused = unwhole(recorder.world)
    for (const title of excused) say(`${title} is not whole from the start: nobody waits for it\n`)
    const writing = write(client, recorder, `${options.seed}-${Date.now()}`, noMoreWrites.signal)
    looking = setInterval(look, processesEveryMs)
    const stage: Stage = { dir, client, recorder, signal }
    const steps = sequence(options.seed, options.only)
    while (!signal.aborted && recorder.now() < options.durationMs) {
      const step = steps.next().value
      const action = await actions[step.kind](stage, step)
      say(`${(recorder.now() / 1000).toFixed(1).padStart(7)} s  ${step.kind.padEnd(24)} `)
      if (action) {
        look()
        done.push(await perform(stage, done.length, step, action, excused, say))
      } else say('there is none to hit\n')
      tell()
      if (!isAlive(readRecord(dir, supervisorProcess))) throw new Error('the cluster was stopped')
      await delay(options.intervalMs, undefined, { signal }).catch(() => {})
    }
    noMoreWrites.abort()
    await writing
    clearInterval(looking)
    say('waiting until everything is settled...\n')
    await recorder.finish(30_000)
    await settle(recorder, look)
    return report(options.seed, signal.aborted, done, recorder.history, tell())
  } finally {
    clearInterval(looking)
    noMoreWrites.abort()
    over.abort()
    await client
      .delete(namespaces, '', chaosNamespace)
      .catch((e: unknown) => say(`the namespace ${chaosNamespace} could not be deleted: ${(e as Error).message}\n`))
    close()
  }
}

/** One blow and its recovery. */
async function perform(
  stage: Stage,
  id: number,
  step: Step,
  action: Action,
  excused: ReadonlySet<string>,
  say: (piece: string) => void,
): Promise<ActionReport> {
  const { recorder } = stage
  const { target, node, container } = action
  const at = recorder.now()
  say(target)
  recorder.record({
    type: 'action',
    id,
    action: step.kind,
    target,
    ...(node === undefined ? {} : { node }),
    ...(container === undefined ? {} : { container }),
  })
  const wrong: string[] = []
  let mended: string | undefined
  let from = at
  try {
    try {
      await action.strike()
    } finally {
      from = recorder.now()
      mended = await action.mend?.()
    }
  } catch (e) {
    wrong.push((e as Error).message)
  }
  if (mended !== undefined) say(`, ${mended}`)
  const deadline = AbortSignal.timeout(recoveryMs)
  const note = await action.works(deadline)
  const worksAfter = deadline.aborted ? null : round((recorder.now() - from) / 1000)
  if (worksAfter === null) wrong.push(`${target} does not work again after ${recoveryMs / 1000} s`)
  const whole = await recorder.until(
    () => missing(recorder.world, excused).length === 0,
    Math.max(0, recoveryMs - (recorder.now() - from)),
    AbortSignal.timeout(recoveryMs),
  )
  const wholeAfter = whole ? round((recorder.now() - from) / 1000) : null
  recorder.record({ type: 'recovered', id, missing: whole ? wrong : [...wrong, ...missing(recorder.world, excused)] })
  say(`${note ? `, ${note}` : ''}: works after ${shown(worksAfter ?? Infinity)}, whole after ${shown(wholeAfter ?? Infinity)}\n`)
  return { at: round(at / 1000), action: step.kind, target, ...(mended === undefined ? {} : { mended }), worksAfter, wholeAfter }
}

/** Ends the history as soon as that shows nothing wrong that was not wrong before, or after the time that a recovery may take. */
async function settle(recorder: Recorder, look: () => void): Promise<void> {
  const deadline = recorder.now() + recoveryMs
  for (let wait = 250; ; wait = Math.min(wait * 2, 4000)) {
    look()
    // Users go on: nothing may happen between this look and the end.
    const atEnd = judge([...recorder.history, { at: recorder.now(), type: 'end' }])
    if (atEnd.length === judge(recorder.history).length || recorder.now() > deadline) return recorder.record({ type: 'end' })
    await delay(wait)
  }
}
