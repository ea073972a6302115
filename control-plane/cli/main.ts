/** cox: starts, stops and shows local clusters. */
import { Command, CommanderError } from 'commander'
import { upCommand } from './upcommand.ts'

const program = new Command('cox')
  .description('coxswain: a Kubernetes cluster of plain processes on this machine')
  .version('0.1.0')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`cox: ${text.replace(/^error: /, '')}`) })
upCommand(program)
// Loading all of them takes longer than most of them.
if (process.argv[2] !== 'up') (await import('./commands.ts')).otherCommands(program)

try {
  await program.parseAsync()
} catch (e) {
  if (e instanceof CommanderError) process.exit(e.exitCode === 0 ? 0 : 1)
  process.stderr.write(`cox: ${e instanceof Error ? e.message : String(e)}\n`)
  process.exit(1)
}
