/** The command line of `cox chaos`. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { durationFlag } from '#shared/component/flags.ts'
import { stateDir } from '../state.ts'
import { chaos } from './chaos.ts'
import type { ActionKind } from './history.ts'
import { describe } from './report.ts'
import { actionKinds } from './sequence.ts'

function duration(text: string): number {
  const parsed = durationFlag().safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError('It must be a duration like 10m, 90s or 500ms.')
  return parsed.data
}
function seed(text: string): number {
  const n = Number(text)
  if (!/^\d+$/.test(text) || n > 0xffffffff) throw new InvalidArgumentError('It must be a whole number from 0 to 4294967295.')
  return n
}
function kinds(text: string): ActionKind[] {
  const names = text.split(',')
  const unknown = names.filter(n => !actionKinds.some(k => k === n))
  if (unknown.length > 0)
    throw new InvalidArgumentError(
      `There is no ${unknown.map(n => JSON.stringify(n)).join(' or ')} to hit; there are: ${actionKinds.join(', ')}.`,
    )
  // In one order, so that the order on the command line does not change the sequence.
  return actionKinds.filter(k => names.includes(k))
}

interface Flags {
  stateDir: string
  output: 'table' | 'json'
  duration: number
  interval: number
  seed?: number
  only: ActionKind[]
}

/** Gives the command its options and what it does; its exit code is 1 when a promise was broken. */
export function chaosCommand(command: Command): void {
  command
    .option('--duration <time>', 'how long', duration, 600_000)
    .option('--interval <time>', 'the pause after a recovery', duration, 5000)
    .option('--seed <n>', 'the same seed does the same things in the same order (default: a new one)', seed)
    .addOption(new Option('--only <what>', `what to hit, of ${actionKinds.join(',')}`).argParser(kinds).default([...actionKinds], 'all'))
    .addOption(
      new Option('-o, --output <format>', 'output format of the report; with json what happens meanwhile goes to standard error')
        .choices(['table', 'json'])
        .default('table'),
    )
    .action(async (flags: Flags) => {
      const enough = new AbortController()
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => enough.abort())
      const seed = flags.seed ?? Math.floor(Math.random() * 2 ** 32)
      const live = flags.output === 'json' ? process.stderr : process.stdout
      live.on('error', () => {})
      const report = await chaos(
        stateDir(flags.stateDir),
        { durationMs: flags.duration, intervalMs: flags.interval, seed, only: flags.only },
        enough.signal,
        piece => live.write(piece),
      )
      process.stdout.write(flags.output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : `\n${describe(report)}\n`)
      process.exitCode = report.ok ? 0 : 1
    })
}
